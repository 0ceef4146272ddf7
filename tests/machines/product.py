"""An installation of ours on machines, as a user would have it: k3s's configuration files, our targets, nothing set by hand."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from . import paths
from .cluster import Cluster
from .shell import Failure, run, succeeds, wait_until

CONFIG = "/etc/rancher/k3s/config.yaml"
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
TOKEN = "/var/lib/rancher/k3s/server/node-token"
ARCHIVES = "/var/lib/rancher/k3s/agent/images"
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "runc", "ctr", "kubectl")
# The disk is this host's: how full it is says nothing about the machine, and must not evict its pods or remove its images.
KUBELET = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/50-disk-of-the-host.conf"
DISK = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}


def upstream() -> Path:
    """A layer with the upstream programs a distribution would install beside ours."""
    layer = paths.programs().parent / "root"
    wanted = {layer / "usr/bin" / name: paths.programs() / name for name in PROGRAMS}
    plugins = [path for path in paths.programs().iterdir() if path.name.startswith("cni-")]
    wanted.update({layer / "usr/lib/cni" / path.name.removeprefix("cni-"): path for path in plugins})
    with paths.locked("product"):
        for target, source in wanted.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or not os.path.samefile(target, source):
                target.unlink(missing_ok=True)
                target.hardlink_to(source)
    return layer


def up(cluster: Cluster, archive: Path, say: Callable[[str], None]) -> list[str]:
    """Boots all machines and starts the server's target, then the agents'; returns how to use the cluster."""
    server, agents = cluster.nodes[0], cluster.nodes[1:]
    cluster.boot_all()
    say(f"{len(cluster.nodes)} machines up")
    for node in cluster.nodes:
        prepare(cluster, node.name, archive)
    configure(cluster, server.name, {"node-ip": server.address, "tls-san": ["127.0.0.1"], "write-kubeconfig-mode": "0644"})
    start(cluster, server.name, "k3s-rs-server.target")
    machine = cluster.machines[server.name]
    machine.wait_for_file(KUBECONFIG, timeout=60)
    cluster.forward([(cluster.port, f"{server.address}:6443")])
    kubeconfig = host_kubeconfig(cluster, machine.succeed(f"cat {KUBECONFIG}"))
    kubectl = [str(paths.programs() / "kubectl"), f"--kubeconfig={kubeconfig}"]
    wait_until("ready API server", lambda: succeeds([*kubectl, "get", "--raw", "/readyz"]), 60, lambda: sick(cluster))
    say("API ready")
    if agents:
        token = machine.succeed(f"cat {TOKEN}").strip()
        for node in agents:
            configure(cluster, node.name, {"server": f"https://{server.address}:6443", "token": token, "node-ip": node.address})
            start(cluster, node.name, "k3s-rs-agent.target")
    wait_until("Ready nodes", lambda: ready_nodes(kubectl) == len(cluster.nodes), 120, lambda: sick(cluster))
    say(f"{len(cluster.nodes)} nodes ready")
    path = [] if shutil.which("kubectl") else [f'export PATH="$PATH:{upstream() / "usr/bin"}"']
    return [f"export KUBECONFIG={kubeconfig}", *path, "kubectl get nodes,pods -A"]


def prepare(cluster: Cluster, name: str, archive: Path) -> None:
    """What the machine has beside the installation: images, and a disk it shares."""
    machine = cluster.machines[name]
    folder = machine.folder / ARCHIVES.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(archive, folder / "basic.tar")
    machine.put(KUBELET, json.dumps(DISK, indent=1) + "\n", 0o600)


def configure(cluster: Cluster, machine: str, settings: dict) -> None:
    """Writes k3s's configuration file; JSON is YAML."""
    cluster.machines[machine].put(CONFIG, json.dumps(settings, indent=1) + "\n", 0o600)


def start(cluster: Cluster, machine: str, target: str) -> None:
    """Starts a target; users, folders and units of the installation are known from boot."""
    status, text = cluster.machines[machine].execute(f"systemctl start {target}", timeout=120)
    if status != 0:
        raise Failure(f"{target} did not start on {machine}: {text}\n{sick(cluster)}")


def host_kubeconfig(cluster: Cluster, content: str) -> Path:
    """The server's kubeconfig with the port the host's shell reaches it by."""
    path = cluster.folder / "kubeconfig.yaml"
    path.write_text(content.replace("https://127.0.0.1:6443", f"https://127.0.0.1:{cluster.port}"))
    path.chmod(0o600)
    return path


def ready_nodes(kubectl: list[str]) -> int:
    """How many nodes are Ready."""
    path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    return run([*kubectl, "get", "nodes", "-o", f"jsonpath={path}"], check=False).split().count("True")


def sick(cluster: Cluster) -> str:
    """Units of ours that are not well, with their last lines."""
    text = []
    for machine in cluster.machines.values():
        listed = "systemctl list-units --all --plain --no-legend 'k3s-rs*' | awk '$3 != \"active\" || $4 == \"auto-restart\" {print $1}'"
        for unit in machine.execute(listed, check_return=False)[1].split():
            text.append(f"--- {unit} on {machine.name}\n{machine.journal(unit, 20)}")
    return "\n".join(text)


def look(cluster: Cluster) -> str:
    """What a cluster that failed a scenario says of itself: its nodes' troubles, pods and warnings."""
    server = cluster.machines[cluster.nodes[0].name]
    troubles = '{range .items[*]}{.metadata.name}{range .status.conditions[?(@.type!="Ready")]} {.type}={.status}{end}{"\\n"}{end}'
    commands = [f"get nodes -o jsonpath='{troubles}'", "get nodes,pods -A -o wide", "get events -A --field-selector type=Warning --sort-by=.lastTimestamp"]
    text = [server.execute(f"k3s-rs kubectl {command} 2>&1 | tail -n 40", check_return=False, timeout=30)[1] for command in commands]
    return "\n".join([*text, sick(cluster)])
