# Upstream's sample device plugin: its devices are an extended resource, containers get them, no restart forgets who has which.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json

from conformance import programs
from machines.shell import wait_until

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
RESOURCE = "example.com/resource"
UNIT = "sample-device-plugin"


def create(name, count, **spec):
    resources = {"limits": {RESOURCE: str(count)}, "requests": {RESOURCE: str(count)}}
    container = {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"], "resources": resources}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))


def node(field):
    return json.loads(kubectl("get", "node", "n1", "-o", "json"))["status"][field].get(RESOURCE)


def has(capacity, allocatable):
    seen = lambda: (node("capacity"), node("allocatable"))
    wait_until(f"{capacity} devices, {allocatable} of them well", lambda: seen() == (capacity, allocatable), 60, lambda: str(seen()))


def devices(name):
    return sorted(kubectl("exec", name, "--", "sh", "-c", "ls -d /tmp/Dev-*").split())


def refused(name):
    read = lambda: json.loads(kubectl("get", "pod", name, "-o", "json"))["status"]
    wait_until(f"{name} refused", lambda: read()["phase"] == "Failed", 30)
    return read()["reason"], read()["message"]


with subtest("its devices are told"):
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    programs.ensure([UNIT])
    n1.succeed(f"systemd-run --unit={UNIT} -E PLUGIN_SOCK_DIR=/var/lib/kubelet/plugins_registry /opt/upstream/bin/{UNIT}")
    has("2", "2")

with subtest("a container gets one"):
    create("one", 1)
    kubectl("wait", "--for=condition=Ready", "pod/one", "--timeout=60s")
    first = devices("one")
    t.assertEqual(1, len(first))

with subtest("there are not two more"):
    create("two", 2)
    reason, message = refused("two")
    t.assertEqual(f"OutOf{RESOURCE}", reason)
    t.assertIn(f"Node didn't have enough resource: {RESOURCE}, requested: 2, used: 1, capacity: 2", message)

with subtest("after a restart of the kubelet the plugin is there again and the other device is free"):
    before = kubectl("get", "pod", "one", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
    n1.succeed("systemctl restart k3s-rs-kubelet")
    cluster.wait_for_nodes()
    has("2", "2")
    create("other", 1)
    kubectl("wait", "--for=condition=Ready", "pod/other", "--timeout=60s")
    t.assertEqual(["/tmp/Dev-1", "/tmp/Dev-2"], sorted(first + devices("other")))
    t.assertEqual(before, kubectl("get", "pod", "one", "-o", "jsonpath={.status.containerStatuses[0].containerID}"))

with subtest("an ended pod's device is free"):
    kubectl("delete", "pod", "one", "two")
    create("third", 1)
    kubectl("wait", "--for=condition=Ready", "pod/third", "--timeout=60s")
    t.assertEqual(first, devices("third"))

with subtest("a plugin that goes leaves its devices unwell"):
    n1.succeed(f"systemctl stop {UNIT}")
    has("2", "0")
    told = lambda: json.loads(kubectl("get", "pod", "third", "-o", "json"))["status"]["containerStatuses"][0]["allocatedResourcesStatus"]
    unwell = [{"name": RESOURCE, "resources": [{"resourceID": first[0].rpartition("/")[2], "health": "Unhealthy"}]}]
    wait_until("the pod tells so", lambda: told() == unwell, 30, lambda: str(told()))
