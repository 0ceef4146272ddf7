# The kubelet and the runtime are killed and restarted, again and again, under load: no container notices.
# machines: n1 n2
# parts: all=upstream,kubelet=ours
# slow

import json
import time

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
PODS = 8


def deployment(name, replicas, args):
    container = {"name": "c", "image": AGNHOST, "args": args}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"nodeName": "n2", "terminationGracePeriodSeconds": 1, "containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pods(app):
    return json.loads(kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]


def containers(app):
    """Ids and restart counts of an application's containers."""
    found = {}
    for pod in pods(app):
        for status in pod["status"].get("containerStatuses", []):
            found[pod["metadata"]["name"]] = (status.get("containerID"), status["restartCount"])
    return found


def apply(thing):
    kubectl("apply", "-f", "-", stdin=json.dumps(thing))


def settled(app, count):
    kubectl("rollout", "status", f"deployment/{app}", "--timeout=120s")
    t.assertEqual(count, len(containers(app)))


def ready(node):
    kubectl("wait", "--for=condition=Ready", f"node/{node}", "--timeout=120s")


def node_ready_again():
    # its lease shows that the new process is at work, not only that the old one's word still holds
    before = kubectl("get", "lease", "-n", "kube-node-lease", "n2", "-o", "jsonpath={.spec.renewTime}")
    n1.wait_until_succeeds(
        f"test \"$(/opt/upstream/bin/kubectl --kubeconfig /cluster/pki/admin.conf get lease -n kube-node-lease n2 -o jsonpath='{{.spec.renewTime}}')\" != '{before}'",
        timeout=60,
    )
    ready("n2")


apply(deployment("steady", PODS, ["pause"]))
apply(deployment("server", 1, ["netexec", "--http-port=8080"]))
settled("steady", PODS)
settled("server", 1)
address = pods("server")[0]["status"]["podIP"]
# a stream that says a line a second through everything that follows
n1.succeed(
    "systemd-run --unit=stream sh -c "
    f"\"(while :; do printf 'GET /hostname HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; sleep 0.5; done) | socat -t 600 - TCP:{address}:8080 > /run/stream\""
)
n1.wait_until_succeeds("test $(grep -c '200 OK' /run/stream) -ge 2", timeout=20)
before = {**containers("steady"), **containers("server")}

with subtest("the kubelet is killed while pods start and stop, five times"):
    for turn in range(5):
        apply(deployment("churn", 3 + turn % 2, ["pause"]))
        n2.succeed("systemctl kill --kill-whom=main -s KILL k3s-rs-kubelet")
        kubectl("delete", "pod", "-l", "app=churn", "--wait=false")
        n2.wait_until_succeeds("systemctl kill --kill-whom=main -s KILL k3s-rs-kubelet", timeout=30)
        node_ready_again()
    settled("churn", 3)
    t.assertEqual(before, {**containers("steady"), **containers("server")})
    t.assertEqual({0}, {restarts for _, restarts in containers("churn").values()})

with subtest("the kubelet is stopped and started in the middle of starting pods: nothing fails"):
    apply(deployment("more", 6, ["pause"]))
    n2.succeed("systemctl restart k3s-rs-kubelet")
    settled("more", 6)
    t.assertEqual({0}, {restarts for _, restarts in containers("more").values()})
    reasons = kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.involvedObject.name}/{.reason} {end}").split()
    failed = [r for r in reasons if r.startswith("more-") and r.endswith("/Failed")]
    t.assertEqual([], failed)

with subtest("containerd is killed and restarted: pods run on, and new ones start"):
    for _ in range(2):
        n2.succeed("systemctl kill --kill-whom=main -s KILL containerd")
        n2.wait_for_unit("containerd.service", timeout=30)
    ready("n2")
    t.assertEqual(before, {**containers("steady"), **containers("server")})
    apply(deployment("churn", 5, ["pause"]))
    settled("churn", 5)

with subtest("the stream went on"):
    said = int(n1.succeed("grep -c '200 OK' /run/stream"))
    n1.wait_until_succeeds(f"test $(grep -c '200 OK' /run/stream) -gt {said}", timeout=10)
    n1.require_unit_state("stream.service", "active")

with subtest("a container that ignores SIGTERM is killed when its time is up, no sooner"):
    container = {"name": "c", "image": "registry.k8s.io/e2e-test-images/busybox:1.37.0-1", "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}
    spec = {"nodeName": "n2", "terminationGracePeriodSeconds": 6, "containers": [container]}
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "deaf"}, "spec": spec})
    kubectl("wait", "--for=condition=Ready", "pod/deaf", "--timeout=60s")
    begin = time.monotonic()
    kubectl("delete", "pod", "deaf", "--timeout=60s")
    taken = time.monotonic() - begin
    t.assertTrue(5.5 <= taken < 12, f"{taken} s")

with subtest("pods deleted while the kubelet is away are gone when it is back"):
    n2.succeed("systemctl stop k3s-rs-kubelet")
    kubectl("delete", "deployment", "more", "churn")
    kubectl("delete", "pod", "-l", "app in (more,churn)", "--force", "--grace-period=0")
    n2.succeed("systemctl start k3s-rs-kubelet")
    n2.wait_until_succeeds("! /opt/upstream/bin/ctr -n k8s.io containers ls | grep -v '^CONTAINER' | grep -v coredns | wc -l | grep -vx 18", timeout=60)
    t.assertEqual(before, {**containers("steady"), **containers("server")})
