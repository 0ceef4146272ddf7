"""Services on each node, and policies on what comes and goes."""

import json

from .base import OURS, PKI, UPSTREAM, Facts, Node, Unit

NODES = "all"
RBAC = """apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:k3s-rs:network-policy"}
rules:
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods, namespaces]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:k3s-rs:network-policy"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:k3s-rs:network-policy"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:kube-proxy"}]
"""


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
    """k3s-rs-proxy. Its identity is upstream's for a proxy, which lacks the right to see policies and pods."""
    config, rights = "/etc/k3s-rs/proxy.json", "/etc/k3s-rs/proxy-rights.yaml"
    settings = {"kubeconfig": cluster.kubeconfig("proxy"), "hostnameOverride": node.name, "clusterCIDR": cluster.pod_range}
    unit = Unit("k3s-rs-proxy", [f"{OURS}/k3s-rs-proxy", "--config", config], files={config: json.dumps(settings, indent=1)})
    if not node.server:
        return [unit]
    apply = f"{UPSTREAM}/kubectl --kubeconfig {PKI}/admin.conf apply -f {rights}"
    grant = ["/bin/sh", "-c", f"until {apply}; do sleep 1; done"]
    return [unit, Unit("proxy-rights", grant, files={rights: RBAC}, oneshot=True)]
