"""The pod network of each node: static routes and a bridge, or our flannel."""

import json

from .base import OURS, Facts, Installed, Node, Unit, prepared

NODES = "all"
MASQUERADE = """table ip outgoing
delete table ip outgoing
table ip outgoing {{
  chain postrouting {{
    type nat hook postrouting priority 100
    ip saddr {own} ip daddr != {{ {pods}, {machines} }} masquerade
  }}
}}
"""


def chain(node: Node) -> dict:
    """The CNI chain: bridge, port mapping, bandwidth."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": node.pod_range}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "mtu": 1450, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    bandwidth = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
    return {"cniVersion": "1.0.0", "name": "static", "plugins": [bridge, ports, bandwidth]}


def upstream(cluster: Facts, node: Node) -> list[Unit]:
    """A route to every other node's pods, masquerading for what leaves the cluster, the CNI chain."""
    others = [other for other in cluster.nodes if other.name != node.name]
    script = [f"ip route replace {other.pod_range} via {other.address}" for other in others] + ["nft -f /etc/masquerade.nft"]
    files = {
        "/etc/cni/net.d/10-static.conflist": json.dumps(chain(node), indent=1),
        "/etc/masquerade.nft": MASQUERADE.format(own=node.pod_range, pods=cluster.pod_range, machines=cluster.subnet),
    }
    return [Unit("static-network", ["/bin/sh", "-euc", "; ".join(script)], files=files, oneshot=True)]


def ours(cluster: Facts, node: Node) -> list[Unit]:
    """k3s-rs-flannel under its installed unit; it writes the CNI chain itself. It lists all nodes, which a node's own
    identity may not: hence admin's."""
    chains = "/etc/cni/net.d"
    settings = {"kubeconfig": "/run/k3s-rs/flannel/kubeconfig", "nodeName": node.name, "clusterCIDR": cluster.pod_range}
    before = prepared("flannel", cluster.kubeconfig("admin"), json.dumps(settings, indent=1), f"install -d -o k3s-rs-flannel {chains}")
    command = [f"{OURS}/k3s-rs-flannel", "--config", "/run/k3s-rs/flannel/config.json"]
    return [before, Installed("k3s-rs-flannel", command, before=[before.name], service=[f"ReadWritePaths={chains}"])]
