# The clock jumps two hours ahead and then four back: containers run on, pods start, what waits does not wait for hours.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json
import subprocess

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
# Machines share this host's clock, so the kubelet is given one of its own: the system call's answer, moved.
CLOCK = """
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t which, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, which, at);
    FILE *file = which == CLOCK_REALTIME ? fopen("/run/clock-moved", "re") : NULL;
    long seconds = 0;
    if (file) { if (fscanf(file, "%ld", &seconds) == 1) at->tv_sec += seconds; fclose(file); }
    return failed;
}
"""


def pod(name, script, **container):
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script], **container}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create(*pods):
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))


def status(name):
    found = json.loads(kubectl("get", "pod", name, "-o", "json"))["status"]["containerStatuses"][0]
    return found["containerID"], found["restartCount"]


def renewed():
    return kubectl("get", "lease", "-n", "kube-node-lease", "n1", "-o", "jsonpath={.spec.renewTime}")


def until(question, answer):
    n1.wait_until_succeeds(f"/opt/upstream/bin/kubectl --kubeconfig /cluster/pki/admin.conf {question} | grep -E '{answer}'", timeout=60)


subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-xc", "-", "-o", str(n1.folder / "var/lib/clock.so")], input=CLOCK, text=True, check=True)
n1.succeed("mkdir -p /etc/systemd/system/k3s-rs-kubelet.service.d; printf '[Service]\\nEnvironment=LD_PRELOAD=/var/lib/clock.so\\n' > /etc/systemd/system/k3s-rs-kubelet.service.d/clock.conf")
n1.succeed("systemctl daemon-reload; systemctl restart k3s-rs-kubelet")
kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
create(pod("steady", "sleep 10000", livenessProbe=probe, readinessProbe=probe), pod("crash", "sleep 1; exit 1"))
kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")
until("get pod crash", "CrashLoopBackOff")
before = status("steady")

for name, seconds in [("ahead", 7200), ("back", -7200)]:
    with subtest(f"the clock jumps {name}"):
        restarts = status("crash")[1]
        n1.succeed(f"echo {seconds} > /run/clock-moved")
        create(pod(name, "sleep 10000", readinessProbe=probe))
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        until("get pod crash -o jsonpath={.status.containerStatuses[0].restartCount}", f"^({'|'.join(str(restarts + more) for more in range(1, 5))})$")
        last = renewed()
        question = "/opt/upstream/bin/kubectl --kubeconfig /cluster/pki/admin.conf get lease -n kube-node-lease n1 -o jsonpath={.spec.renewTime}"
        n1.wait_until_succeeds(f"test \"$({question})\" != '{last}'", timeout=30)
        kubectl("wait", "--for=condition=Ready", "node/n1", "--timeout=5s")
        t.assertEqual(before, status("steady"))
        kubectl("delete", "pod", name, "--timeout=30s")
