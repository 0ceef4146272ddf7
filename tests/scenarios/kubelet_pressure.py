# The pods' file system fills up: what nobody uses goes, then the pod that takes most; the node recovers without help.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
SIZE = 300  # MiB
CONFIG = "/etc/k3s-rs/kubelet.json"
UNIT = "k3s-rs-kubelet"


def pod(name, command, **resources):
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", command], "resources": resources}
    container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create(*pods):
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))


def condition(status, timeout):
    kubectl("wait", f"--for=condition=DiskPressure={status}", "node/n1", f"--timeout={timeout}s")


def small_disk():
    """A kubelet whose pods are on a file system of their own, a small one, and which forgets pressure soon."""
    n1.succeed(f"systemctl stop {UNIT}; mkdir -p /var/lib/kubelet")
    n1.succeed(f"mountpoint -q /var/lib/kubelet || mount -t tmpfs -o size={SIZE}M tmpfs /var/lib/kubelet")
    settings = json.loads(n1.succeed(f"cat {CONFIG}"))
    settings |= {"evictionHard": {"nodefs.available": "20%"}, "evictionPressureTransitionPeriod": "20s"}
    n1.succeed(f"cat > {CONFIG} <<'EOS'\n{json.dumps(settings)}\nEOS")
    n1.succeed(f"systemctl start {UNIT}")
    cluster.wait_for_nodes()


def play():
    small_disk()
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    create(pod("modest", "dd if=/dev/zero of=/v/f bs=1M count=20; sleep 1000"))
    kubectl("wait", "--for=condition=Ready", "pod/modest", "--timeout=60s")
    create(pod("greedy", f"dd if=/dev/zero of=/v/f bs=1M count={SIZE}; sleep 1000"))
    condition("True", 60)
    kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/greedy", "--timeout=90s")
    status = json.loads(kubectl("get", "pod", "greedy", "-o", "json"))["status"]
    t.assertEqual("Evicted", status["reason"])
    t.assertRegex(status["message"], r"^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+\w*, available: \d+\w*\. ")
    target = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
    t.assertEqual([("True", "TerminationByKubelet")], [(c["status"], c["reason"]) for c in target])
    create(pod("refused", "sleep 1000"))
    kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/refused", "--timeout=60s")
    refused = json.loads(kubectl("get", "pod", "refused", "-o", "json"))["status"]
    t.assertEqual("running", "running" if "running" in json.loads(kubectl("get", "pod", "modest", "-o", "json"))["status"]["containerStatuses"][0]["state"] else "not")
    condition("False", 90)
    kubectl("delete", "pod", "refused", "greedy")
    create(pod("later", "sleep 1000"))
    kubectl("wait", "--for=condition=Ready", "pod/later", "--timeout=60s")
    reasons = kubectl("get", "events", "-A", "-o", "jsonpath={range .items[*]}{.involvedObject.kind}/{.reason} {end}").split()
    about = {"Pod/Evicted", "Node/EvictionThresholdMet", "Node/NodeHasDiskPressure", "Node/NodeHasNoDiskPressure"}
    kubectl("delete", "pod", "--all")
    kubectl("delete", "events", "-A", "--all")
    shape = status["message"].split("Threshold")[0], refused["reason"], refused["message"]
    return shape, about & set(reasons)


with subtest("space runs short and comes back"):
    shape, said = play()
    t.assertEqual(("The node was low on resource: ephemeral-storage. ", "Evicted", "Pod was rejected: The node had condition: [DiskPressure]. "), shape)
    t.assertEqual({"Pod/Evicted", "Node/EvictionThresholdMet", "Node/NodeHasDiskPressure", "Node/NodeHasNoDiskPressure"}, said)
