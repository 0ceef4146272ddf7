"""The controllers."""

import json

from .base import OURS, PKI, UPSTREAM, Facts, Node, Unit

NODES = "server"


def upstream(cluster: Facts, _node: Node) -> list[Unit]:
    """kube-controller-manager."""
    flags = {
        "kubeconfig": cluster.kubeconfig("controller-manager"),
        "cluster-signing-cert-file": f"{PKI}/ca.crt",
        "cluster-signing-key-file": f"{PKI}/ca.key",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/sa.key",
        "use-service-account-credentials": "true",
        "allocate-node-cidrs": "true",
        "cluster-cidr": cluster.pod_range,
        "service-cluster-ip-range": cluster.service_range,
        "leader-elect": "false",
    }
    command = [f"{UPSTREAM}/kube-controller-manager", *(f"--{name}={value}" for name, value in flags.items())]
    return [Unit("kube-controller-manager", command)]


def ours(cluster: Facts, _node: Node) -> list[Unit]:
    """k3s-rs-controller as system:kube-controller-manager, with the role its controllers declare beside upstream's."""
    config = "/etc/k3s-rs/controller.json"
    settings = {
        "kubeconfig": cluster.kubeconfig("controller-manager"),
        "clusterSigningCertFile": f"{PKI}/ca.crt",
        "clusterSigningKeyFile": f"{PKI}/ca.key",
        "rootCAFile": f"{PKI}/ca.crt",
        "serviceAccountPrivateKeyFile": f"{PKI}/sa.key",
        "clusterCIDR": cluster.pod_range,
        "serviceClusterIPRange": cluster.service_range,
        "leaderElect": False,
    }
    command = [f"{OURS}/k3s-rs-controller", "--config", config]
    kubectl = f"{UPSTREAM}/kubectl --kubeconfig {cluster.kubeconfig('admin')}"
    role = f"{OURS}/k3s-rs-controller role | {kubectl} apply --server-side --force-conflicts --validate=false -f -"
    return [Unit("k3s-rs-controller", command, files={config: json.dumps(settings, indent=1)}, before=[role])]
