# Pods that go wrong, under our kubelet and then under upstream's: the same events, reasons and statuses.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json
import re
import time
from collections import Counter

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
SPACE = "default"


def pod(name, container=None, **spec):
    container = {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"], **(container or {})}
    container = {key: value for key, value in container.items() if value is not None}
    body = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


PODS = [
    pod("no-such-image", {"image": "registry.k8s.io/e2e-test-images/no-such-image:1"}),
    pod("bad-name", {"image": "Registry.k8s.io/UPPER"}),
    pod("never-pull", {"image": "registry.k8s.io/e2e-test-images/absent:1", "imagePullPolicy": "Never"}),
    pod("crash-loop", {"command": ["sh", "-c", "exit 3"]}),
    pod("no-command", {"command": ["/no/such/program"]}),
    pod("root-refused", {"securityContext": {"runAsNonRoot": True}}),
    pod("no-config-map", {"envFrom": [{"configMapRef": {"name": "absent"}}]}),
    pod("no-secret-key", {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}}]}),
    pod("unused-volume", volumes=[{"name": "v", "configMap": {"name": "absent"}}]),
    pod("no-volume", {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[{"name": "v", "configMap": {"name": "absent"}}]),
    pod("hook-fails", {"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "exit 1"]}}}}),
    pod("unhealthy", {"livenessProbe": {"exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}}),
    pod("unready", {"readinessProbe": {"tcpSocket": {"port": 81}, "periodSeconds": 1}}),
    pod("too-large", {"resources": {"requests": {"cpu": "1000"}}}),
    pod("bad-sysctl", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}),
    pod("overdue", activeDeadlineSeconds=4),
    pod("completes", {"command": ["true"]}, restartPolicy="Never"),
    pod("fails", {"command": ["false"]}, restartPolicy="Never"),
]
# The runtime's own texts and numbers that differ from run to run.
CHANGING = [
    (r"\([0-9a-f-]{36}\)", "(UID)"), (r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID"), (r"[0-9a-f]{64}", "ID"),
    (r"\b\d+(\.\d+)?(ms|s|µs)\b", "TIME"), (r"\d+\.\d+\.\d+\.\d+", "IP"), (r"Image size: \d+ bytes", "Image size"),
    (r"kube-api-access-\w+", "TOKEN"),
]


# A state that lasted: seen by so many looks, a second apart.
LOOKS = 4
# Admission of the API server may not know a pod yet that was just stored; who is quick asks for its token too early, and again.
TOO_EARLY = "failed to fetch token: pod "


def plain(text):
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text or "")
    return text


def events():
    """What was said about each pod, each thing once."""
    items = json.loads(kubectl("get", "events", "-n", SPACE, "-o", "json"))["items"]
    told = {}
    for event in items:
        of = event["involvedObject"]
        early = TOO_EARLY in event.get("message", "")
        if of["kind"] == "Pod" and event["source"].get("component") == "kubelet" and not early:
            line = (event["type"], event["reason"], of.get("fieldPath", ""), plain(event["message"]))
            told.setdefault(of["name"], set()).add(line)
    return told


def states():
    """Phase, reason, and why containers wait or ended."""
    out = {}
    for item in json.loads(kubectl("get", "pods", "-n", SPACE, "-o", "json"))["items"]:
        status = item["status"]
        lines = {("phase", status["phase"], status.get("reason", ""), plain(status.get("message")))}
        for container in status.get("containerStatuses", []):
            for kind, state in {**container.get("state", {}), **{f"last {k}": v for k, v in container.get("lastState", {}).items()}}.items():
                lines.add((kind, state.get("reason", ""), plain(state.get("message")), str(state.get("exitCode", ""))))
        out[item["metadata"]["name"]] = lines
    return out


# What is so for less than it takes to look; and in a crash loop ours says at once that it waits, upstream's that it ended until the wait is over.
PASSING = {("running",), ("phase", "Running")}
LOOPING = {("terminated",), ("waiting", "CrashLoopBackOff")}


def passing(name, line):
    short = PASSING | (LOOPING if name == "crash-loop" else set())
    return line[:1] in short or line[:2] in short


def collect(seconds):
    """How often everything was seen in the time: states come and go. How long a pod is only taken in says how busy the node is, so that counts at the end alone."""
    seen, last, until = {}, {}, time.monotonic() + seconds
    while time.monotonic() < until:
        last = states()
        for name, lines in last.items():
            seen.setdefault(name, Counter()).update(line for line in lines if not passing(name, line))
        time.sleep(1)  # looking, not waiting: what comes and goes has to be caught
    for name, lines in seen.items():
        for line in [line for line in lines if line[:2] == ("phase", "Pending") and line not in last[name]]:
            del lines[line]
    return seen


def play():
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": PODS}))
    seen, told = collect(45), None
    told = events()
    begin = time.monotonic()
    kubectl("delete", "pod", "--all", "--timeout=60s")
    taken = time.monotonic() - begin
    kubectl("delete", "events", "--all")
    return seen, told, taken


with subtest("ours"):
    ours = play()
with subtest("upstream's"):
    cluster.swap({"kubelet": "upstream"})
    cluster.wait_for_nodes()
    theirs = play()
    cluster.swap({"kubelet": "ours"})


def lacks(which, whose, theirs, others):
    """What one kubelet said and the other never did; a state that a few looks saw may have come and gone between two of the other's."""
    found = []
    for name, lines in sorted(theirs.items()):
        lasting = {line for line in lines if not isinstance(lines, Counter) or lines[line] >= LOOKS}
        found += [f"{which} of {name}: only {whose}: {line}" for line in sorted(lasting - set(others.get(name, ())))]
    return found


different = []
for which, mine, other in [("states", ours[0], theirs[0]), ("events", ours[1], theirs[1])]:
    different += lacks(which, "ours", mine, other) + lacks(which, "upstream's", other, mine)
print("\n".join(different))
with subtest("the same was said of every pod"):
    t.assertEqual([], different)
