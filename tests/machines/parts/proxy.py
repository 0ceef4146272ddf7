"""Services on each node."""

import json

from .base import OURS, UPSTREAM, Facts, Node, Unit

NODES = "all"


def upstream(cluster: Facts, node: Node) -> list[Unit]:
    """kube-proxy with nftables; it may not set the host's conntrack limits."""
    flags = {
        "kubeconfig": cluster.kubeconfig("proxy"),
        "hostname-override": node.name,
        "proxy-mode": "nftables",
        "cluster-cidr": cluster.pod_range,
        "conntrack-max-per-core": "0",
        "conntrack-tcp-timeout-established": "0",
        "conntrack-tcp-timeout-close-wait": "0",
    }
    return [Unit("kube-proxy", [f"{UPSTREAM}/kube-proxy", *(f"--{name}={value}" for name, value in flags.items())])]


def ours(cluster: Facts, node: Node) -> list[Unit]:
    """k3s-rs-proxy."""
    config = "/etc/k3s-rs/proxy.json"
    settings = {"kubeconfig": cluster.kubeconfig("proxy"), "hostnameOverride": node.name, "clusterCIDR": cluster.pod_range}
    command = [f"{OURS}/k3s-rs-proxy", "--config", config]
    return [Unit("k3s-rs-proxy", command, files={config: json.dumps(settings, indent=1)})]
