"""The kubelet of each node; both kinds speak to the node's containerd and serve on 10250."""

import json
from pathlib import Path

from .base import OURS, PKI, UPSTREAM, Facts, Node, Unit

NODES = "all"
SHIPPED = Path(__file__).resolve().parents[3] / "units/k3s-rs-kubelet.service"
# Processes of pods live in the unit's own subtree of some hierarchies: stopping the kubelet must not stop them.
SERVICE = ["Delegate=yes", "KillMode=process"]


def settings(cluster: Facts, node: Node) -> dict:
    """Upstream's KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{PKI}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{PKI}/{node.name}.key",
        "clusterDNS": [cluster.dns_address],
        "clusterDomain": cluster.domain,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": "/etc/resolv.conf",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "maxPods": 250,
        # the disk is this host's: how full it is says nothing about the machine's images
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def hardened() -> list[str]:
    """The [Service] section of the unit as it is installed, but for what it runs: tests run under its limits."""
    lines = SHIPPED.read_text().split("[Service]")[1].split("\n[")[0].splitlines()
    return [line for line in lines if "=" in line and not line.startswith(("#", "ExecStart=", "LoadCredential="))]


def upstream(cluster: Facts, node: Node) -> list[Unit]:
    """kubelet."""
    config = "/etc/kubelet/config.yaml"
    flags = [f"--config={config}", f"--kubeconfig={cluster.kubeconfig(node.name)}", f"--node-ip={node.address}"]
    command = [f"{UPSTREAM}/kubelet", *flags, f"--hostname-override={node.name}", "--v=2"]
    return [Unit("kubelet", command, files={config: json.dumps(settings(cluster, node), indent=1)}, service=SERVICE)]


def ours(cluster: Facts, node: Node) -> list[Unit]:
    """k3s-rs-kubelet: upstream's settings and what upstream takes as flags, in one file."""
    config = "/etc/k3s-rs/kubelet.json"
    own = {"kubeconfig": cluster.kubeconfig(node.name), "nodeIP": node.address, "hostnameOverride": node.name}
    command = [f"{OURS}/k3s-rs-kubelet", "--config", config]
    files = {config: json.dumps({**settings(cluster, node), **own}, indent=1)}
    return [Unit("k3s-rs-kubelet", command, files=files, service=hardened())]
