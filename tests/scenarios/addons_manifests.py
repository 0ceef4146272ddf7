# The manifests folder is what the cluster has: packaged components, a user's files, changes, .skip, disabling.
# machines: server
# needs: installation

import json

FOLDER = "/var/lib/rancher/k3s/server/manifests"
CONFIG = "/etc/rancher/k3s/config.yaml"


def kubectl(command, timeout=120):
    return server.succeed(f"k3s-rs kubectl {command}", timeout=timeout)


def get(what):
    return json.loads(kubectl(f"get {what} -o json"))


def maps(*names):
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}} for name in names]
    return "\n---\n".join(map(json.dumps, objects))


def put(name, content):
    server.write_file(f"{FOLDER}/{name}", content, mode=0o644)


server.write_file(CONFIG, json.dumps({"write-kubeconfig-mode": "0644"}))
server.succeed("systemctl start k3s-rs-server.target", timeout=120)
server.wait_until_succeeds("k3s-rs kubectl get --raw /readyz", timeout=60)

with subtest("CoreDNS is written, applied and recorded as k3s does"):
    server.wait_until_succeeds("k3s-rs kubectl -n kube-system get addon coredns -o jsonpath={.spec.checksum} | grep -E '^[0-9a-f]{64}$'", timeout=60)
    addon = get("-n kube-system addon coredns")
    t.assertEqual(f"/run/k3s-rs/data/server/manifests/coredns.yaml", addon["spec"]["source"])
    t.assertIn("apps/v1, Kind=Deployment", addon["metadata"]["annotations"]["addon.k3s.cattle.io/gvks"].split(";"))
    deployment = get("-n kube-system deployment coredns")
    t.assertEqual("bce283298811743a0386ab510f2f67ef74240c57", deployment["metadata"]["labels"]["objectset.rio.cattle.io/hash"])
    t.assertEqual("k3s.cattle.io/v1, Kind=Addon", deployment["metadata"]["annotations"]["objectset.rio.cattle.io/owner-gvk"])
    t.assertEqual("10.43.0.10", get("-n kube-system service kube-dns")["spec"]["clusterIP"])
    server.wait_until_succeeds("k3s-rs kubectl -n kube-system get configmap coredns -o jsonpath={.data.NodeHosts} | grep -E '^[0-9.]+ server$'", timeout=60)
    reasons = kubectl("-n kube-system get events --field-selector involvedObject.kind=Addon -o jsonpath={.items[*].reason}").split()
    t.assertIn("ApplyingManifest", reasons)
    t.assertIn("AppliedManifest", reasons)

with subtest("a file put there is applied within seconds, in a subfolder too"):
    put("mine.yaml", maps("one", "two"))
    put("deeper/other.json", maps("three"))
    for name in ("one", "two", "three"):
        server.wait_until_succeeds(f"k3s-rs kubectl get configmap {name}", timeout=10)

with subtest("what a file no longer has is deleted; what a removed file had stays"):
    put("mine.yaml", maps("two"))
    server.wait_until_fails("k3s-rs kubectl get configmap one", timeout=10)
    server.succeed(f"rm {FOLDER}/deeper/other.json")
    kubectl("get configmap two three")

with subtest("a swapped link is seen"):
    server.write_file("/root/a.yaml", maps("linked-a"))
    server.write_file("/root/b.yaml", maps("linked-b"))
    server.succeed(f"chmod 755 /root; ln -s /root/a.yaml {FOLDER}/link.yaml")
    server.wait_until_succeeds("k3s-rs kubectl get configmap linked-a", timeout=20)
    server.succeed(f"ln -sfn /root/b.yaml {FOLDER}/link.yaml")
    server.wait_until_succeeds("k3s-rs kubectl get configmap linked-b", timeout=20)
    server.wait_until_fails("k3s-rs kubectl get configmap linked-a", timeout=10)

with subtest("a broken file says so in an event and disturbs no other"):
    put("broken.yaml", "a: [")
    put("fine.yaml", maps("fine"))
    server.wait_until_succeeds("k3s-rs kubectl get configmap fine", timeout=10)
    server.wait_until_succeeds("k3s-rs kubectl -n kube-system get events -o jsonpath='{range .items[*]}{.involvedObject.name}/{.reason} {end}' | grep broken/ParseManifestFailed", timeout=20)
    server.succeed(f"rm {FOLDER}/broken.yaml")

with subtest(".skip leaves alone; disabling removes objects, Addon and file"):
    put("mine.yaml.skip", "")
    put("mine.yaml", maps("two", "four"))
    server.succeed("touch /root/marker")
    put("after.yaml", maps("after"))
    server.wait_until_succeeds("k3s-rs kubectl get configmap after", timeout=10)
    server.fail("k3s-rs kubectl get configmap four")
    server.write_file(CONFIG, json.dumps({"write-kubeconfig-mode": "0644", "disable": ["fine"]}))
    server.succeed("systemctl restart k3s-rs-bootstrap.service k3s-rs-controller.service", timeout=120)
    server.wait_until_fails("k3s-rs kubectl get configmap fine", timeout=60)
    server.wait_until_fails("k3s-rs kubectl -n kube-system get addon fine", timeout=30)
    server.fail(f"test -e {FOLDER}/fine.yaml")
    kubectl("get configmap two after")
