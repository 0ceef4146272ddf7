# The machine is told to power off: logind waits while the kubelet ends pods in order and says so.
# machines: n1 n2
# parts: all=upstream,kubelet=ours

import json

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
CONFIG = "/etc/k3s-rs/kubelet.json"


def pod(name, script, **spec):
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script]}
    container["volumeMounts"] = [{"name": "out", "mountPath": "/out"}]
    volumes = [{"name": "out", "hostPath": {"path": "/var/lib/out", "type": "DirectoryOrCreate"}}]
    spec = {"nodeName": "n2", "terminationGracePeriodSeconds": 30, "containers": [container], "volumes": volumes, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"}, "spec": spec}


LAST = "trap 'date +%s > /out/{0}; exit 0' TERM; while :; do sleep 0.1; done"
DEAF = "trap '' TERM; while :; do sleep 1; done"

with subtest("logind is asked to wait, as long as the settings say"):
    settings = json.loads(n2.succeed(f"cat {CONFIG}"))
    settings |= {"shutdownGracePeriod": "12s", "shutdownGracePeriodCriticalPods": "4s"}
    n2.succeed(f"cat > {CONFIG} <<'EOS'\n{json.dumps(settings)}\nEOS\nsystemctl restart k3s-rs-kubelet")
    n2.wait_until_succeeds("systemd-inhibit --list | grep '^kubelet.*shutdown'", timeout=30)
    t.assertIn("12s", n2.succeed("busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager InhibitDelayMaxUSec | sed 's/.* 12000000$/12s/'"))

with subtest("a restarted logind is asked again"):
    n2.succeed("systemctl restart systemd-logind")
    n2.wait_until_succeeds("systemd-inhibit --list | grep '^kubelet.*shutdown'", timeout=30)

with subtest("pods end in order, within their time, and their end is told"):
    pods = [pod("plain", LAST.format("plain")), pod("critical", LAST.format("critical"), priorityClassName="system-node-critical"), pod("deaf", DEAF)]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    for name in ("plain", "critical", "deaf"):
        kubectl("wait", "-n", "kube-system", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    n2.succeed("mkdir -p /var/lib/out; systemd-run --on-active=1 systemctl poweroff")
    for name in ("plain", "critical", "deaf"):
        kubectl("wait", "-n", "kube-system", "--for=jsonpath={.status.reason}=Terminated", f"pod/{name}", "--timeout=40s")
        status = json.loads(kubectl("get", "pod", "-n", "kube-system", name, "-o", "json"))["status"]
        t.assertEqual("Failed", status["phase"])
        t.assertEqual("Pod was terminated in response to imminent node shutdown.", status["message"])
        t.assertIn("DisruptionTarget", [c["type"] for c in status["conditions"]])
    ready = json.loads(kubectl("get", "node", "n2", "-o", "json"))["status"]["conditions"]
    ready = next(c for c in ready if c["type"] == "Ready")
    t.assertEqual(("False", "KubeletNotReady", "node is shutting down"), (ready["status"], ready["reason"], ready["message"]))
    n2.wait_for_shutdown(timeout=60)
    times = {name: int((n2.folder / f"var/lib/out/{name}").read_text()) for name in ("plain", "critical")}
    t.assertGreater(times["critical"] - times["plain"], 5)
