# Upstream's mock CSI driver: it registers, its volumes are staged once and published to each pod, and all of it is taken back.
# machines: n1
# parts: all=upstream,kubelet=ours
# slow

import json

from conformance import programs
from machines.shell import wait_until

BUSYBOX = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
DRIVER = "mock.csi.k8s.io"
REGISTRY = "/var/lib/kubelet/plugins_registry"


def apply(*objects):
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def read(*what):
    return json.loads(kubectl("get", *what, "-o", "json"))


def pod(name, volume):
    container = {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [container], "volumes": [{"name": "v", **volume}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def calls(*methods):
    """What the driver was asked of these, in order."""
    lines = n1.succeed("journalctl -u csi-mock -o cat").splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    failed = [line for line in said if "error" in line]
    t.assertEqual([], failed)
    return [line for line in said if line["method"] in methods]


def names(*methods):
    return [line["method"] for line in calls(*methods)]


VOLUME = ("NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume")
SOURCE = {"driver": DRIVER, "volumeHandle": "1", "fsType": "ext4", "volumeAttributes": {"color": "blue"}}

with subtest("the driver registers"):
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    programs.ensure(["csi-mock"])
    apply({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": {
        "attachRequired": True, "podInfoOnMount": True, "volumeLifecycleModes": ["Persistent", "Ephemeral"],
        "tokenRequests": [{"audience": "vault", "expirationSeconds": 3600}]}})
    folder = f"/var/lib/kubelet/plugins/{DRIVER}"
    n1.succeed(f"systemd-run --unit=csi-mock /opt/upstream/bin/csi-mock {DRIVER} n1 {folder} {REGISTRY} attach ephemeral")
    listed = lambda: [(d["name"], d["nodeID"]) for d in read("csinode", "n1")["spec"].get("drivers") or []]
    wait_until("the driver in the CSINode", lambda: listed() == [(DRIVER, "n1")], 60, lambda: str(listed()))
    t.assertEqual({DRIVER: "n1"}, json.loads(read("node", "n1")["metadata"]["annotations"]["csi.volume.kubernetes.io/nodeid"]))
    t.assertEqual([{"plugin_registered": True}], [line["request"] for line in calls("NotifyRegistrationStatus")])

with subtest("a volume is attached, staged and published"):
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}}
    apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": SOURCE, "mountOptions": ["noatime"],
            "claimRef": {"namespace": "default", "name": "claim"}}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}, "spec": claim},
    )
    kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/claim", "--timeout=60s")
    apply(pod("a", {"persistentVolumeClaim": {"claimName": "claim"}}))
    wait_until("the attachment", lambda: read("volumeattachments")["items"], 60)
    in_use = lambda: read("node", "n1")["status"].get("volumesInUse", [])
    wait_until("the volume in use", lambda: in_use() == [f"kubernetes.io/csi/{DRIVER}^1"], 60)
    t.assertEqual([], names(*VOLUME), "not before it is attached")
    attachment = read("volumeattachments")["items"][0]["metadata"]["name"]
    status = {"status": {"attached": True, "attachmentMetadata": {"device": "/dev/mock"}}}
    kubectl("patch", "volumeattachment", attachment, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=120s")
    stage, publish = (line["request"] for line in calls(*VOLUME))
    t.assertEqual("/dev/mock", stage["publish_context"]["device"])
    t.assertEqual({"fs_type": "ext4", "mount_flags": ["noatime"]}, stage["volume_capability"]["AccessType"]["Mount"])
    t.assertEqual(stage["staging_target_path"], publish["staging_target_path"])
    uid = read("pod", "a")["metadata"]["uid"]
    t.assertEqual(f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/pv/mount", publish["target_path"])
    context = publish["volume_context"]
    t.assertEqual(("blue", "a", "default", uid), tuple(context[k] for k in ("color", *(f"csi.storage.k8s.io/pod.{f}" for f in ("name", "namespace", "uid")))))
    t.assertEqual(["vault"], list(json.loads(context["csi.storage.k8s.io/serviceAccount.tokens"])))

with subtest("another pod on the node has the same volume"):
    apply(pod("b", {"persistentVolumeClaim": {"claimName": "claim"}}))
    kubectl("wait", "--for=condition=Ready", "pod/b", "--timeout=60s")
    t.assertEqual([*VOLUME[:2], VOLUME[1]], names(*VOLUME))

with subtest("a volume that lives as long as its pod"):
    apply(pod("inline", {"csi": {"driver": DRIVER, "volumeAttributes": {"size": "1"}}}))
    kubectl("wait", "--for=condition=Ready", "pod/inline", "--timeout=60s")
    last = calls(*VOLUME)[-1]["request"]
    t.assertEqual("true", last["volume_context"]["csi.storage.k8s.io/ephemeral"])
    kubectl("delete", "pod", "inline")
    t.assertEqual("NodeUnpublishVolume", names(*VOLUME)[-1])

with subtest("it is unstaged when its last pod goes, after a restart of the kubelet too"):
    n1.succeed("systemctl restart k3s-rs-kubelet")
    cluster.wait_for_nodes()
    kubectl("delete", "pod", "a")
    t.assertEqual("NodeUnpublishVolume", names(*VOLUME)[-1])
    kubectl("delete", "pod", "b")
    wait_until("the volume unstaged", lambda: names(*VOLUME)[-2:] == list(VOLUME[2:]), 30)
    wait_until("the volume free", lambda: in_use() == [], 60)
    wait_until("the attachment gone", lambda: not read("volumeattachments")["items"], 120)
    n1.succeed("! grep kubernetes.io~csi /proc/mounts; ! test -e /var/lib/kubelet/plugins/kubernetes.io/csi/*/*/vol_data.json")

with subtest("a driver that goes is forgotten"):
    n1.succeed(f"systemctl stop csi-mock; rm {REGISTRY}/{DRIVER}-reg.sock")
    wait_until("no driver in the CSINode", lambda: listed() == [], 60)
    t.assertNotIn("csi.volume.kubernetes.io/nodeid", read("node", "n1")["metadata"].get("annotations", {}))
