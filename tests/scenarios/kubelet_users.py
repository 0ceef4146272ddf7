# Pods with users of their own: root in them is nobody on the node, no two pods share numbers, their volumes are theirs.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"


def pod(name):
    volumes = [{"name": "own", "emptyDir": {}}, {"name": "told", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    mounts = [{"name": "own", "mountPath": "/own"}, {"name": "told", "mountPath": "/told"}]
    container = {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"], "volumeMounts": mounts}
    spec = {"nodeName": "n1", "hostUsers": False, "terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def inside(name, command):
    return kubectl("exec", name, "--", "sh", "-c", command).strip()


def numbers(name):
    """The first number of a pod's users on the node, and how many there are."""
    first, outside, count = inside(name, "cat /proc/self/uid_map").split()
    t.assertEqual("0", first)
    return int(outside), int(count)


handlers = json.loads(kubectl("get", "node", "n1", "-o", "json"))["status"].get("runtimeHandlers", [])
able = any(handler.get("features", {}).get("userNamespaces") for handler in handlers)
if not able:
    print("  the runtime of this machine cannot give pods users of their own: nothing was tried")
else:
    with subtest("two pods run with users of their own"):
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("a"), pod("b")]}))
        kubectl("wait", "--for=condition=Ready", "pod/a", "pod/b", "--timeout=90s")
        mappings = [numbers(name) for name in "ab"]
        t.assertEqual({65536}, {count for _, count in mappings})
        t.assertEqual(2, len({outside for outside, _ in mappings}))
        t.assertTrue(all(outside >= 65536 for outside, _ in mappings))

    with subtest("their volumes are theirs"):
        t.assertEqual("a", inside("a", "cat /told/name"))
        t.assertEqual("0 0", inside("a", "touch /own/file && stat -c '%u %g' /own/file"))
        uid = kubectl("get", "pod", "a", "-o", "jsonpath={.metadata.uid}")
        path = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/own/file"
        t.assertEqual("0", n1.succeed(f"stat -c %u {path}").strip(), "mounts are mapped, files are not")

    with subtest("a restart of the kubelet takes nothing from them"):
        n1.succeed("systemctl restart k3s-rs-kubelet")
        cluster.wait_for_nodes()
        t.assertEqual(mappings, [numbers(name) for name in "ab"])
        kubectl("delete", "pod", "a", "b")
