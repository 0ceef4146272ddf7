"""The scheduler."""

import json

from .base import OURS, UPSTREAM, Facts, Node, Unit

NODES = "server"


def upstream(cluster: Facts, _node: Node) -> list[Unit]:
    """kube-scheduler."""
    command = [f"{UPSTREAM}/kube-scheduler", f"--kubeconfig={cluster.kubeconfig('scheduler')}", "--leader-elect=false"]
    return [Unit("kube-scheduler", command)]


def ours(cluster: Facts, _node: Node) -> list[Unit]:
    """k3s-rs-scheduler."""
    config = "/etc/k3s-rs/scheduler.json"
    settings = {"kubeconfig": cluster.kubeconfig("scheduler"), "leaderElect": False}
    command = [f"{OURS}/k3s-rs-scheduler", "--config", config]
    return [Unit("k3s-rs-scheduler", command, files={config: json.dumps(settings, indent=1)})]
