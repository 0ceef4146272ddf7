"""The container runtime of each node, always upstream's."""

from .base import CNI, UPSTREAM, Facts, Node, Unit

NODES = "all"
PAUSE = "registry.k8s.io/pause:3.10.2"
CONFIG = f"""version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "/etc/containerd/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{CNI}"]
  conf_dir = "/etc/cni/net.d"
  use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  options.BinaryName = "{UPSTREAM}/runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.test-handler]
  runtime_type = "io.containerd.runc.v2"
  options.BinaryName = "{UPSTREAM}/runc"
"""
SYSCTL = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1; sysctl -qw net.bridge.bridge-nf-call-iptables=1"


def upstream(cluster: Facts, _node: Node) -> list[Unit]:
    """containerd, told to ask the cluster's own registry."""
    mirror = f'server = "http://{cluster.gateway}:5000"\n[host."http://{cluster.gateway}:5000"]\n  capabilities = ["pull", "resolve"]\n'
    files = {"/etc/containerd/config.toml": CONFIG, "/etc/containerd/certs.d/registry.k8s.io/hosts.toml": mirror}
    service = ["Type=notify", "Delegate=yes", "KillMode=process"]
    return [Unit("containerd", [f"{UPSTREAM}/containerd"], files=files, before=[SYSCTL], service=service)]
