"""The API server on port 6443 of the server node."""

import json

from .base import OURS, PKI, UPSTREAM, Facts, Node, Unit

NODES = "server"


def upstream(cluster: Facts, node: Node) -> list[Unit]:
    """kube-apiserver."""
    flags = {
        "etcd-servers": cluster.datastore,
        "advertise-address": node.address,
        "secure-port": "6443",
        "service-cluster-ip-range": cluster.service_range,
        "client-ca-file": f"{PKI}/ca.crt",
        "tls-cert-file": f"{PKI}/apiserver.crt",
        "tls-private-key-file": f"{PKI}/apiserver.key",
        "kubelet-client-certificate": f"{PKI}/kubelet-client.crt",
        "kubelet-client-key": f"{PKI}/kubelet-client.key",
        "kubelet-certificate-authority": f"{PKI}/ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-key-file": f"{PKI}/sa.pub",
        "service-account-signing-key-file": f"{PKI}/sa.key",
        "service-account-issuer": f"https://kubernetes.default.svc.{cluster.domain}",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "enable-bootstrap-token-auth": "true",
        "requestheader-client-ca-file": f"{PKI}/front.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": f"{PKI}/front-client.crt",
        "proxy-client-key-file": f"{PKI}/front-client.key",
        "enable-aggregator-routing": "true",
        "allow-privileged": "true",
    }
    return [Unit("kube-apiserver", [f"{UPSTREAM}/kube-apiserver", *(f"--{name}={value}" for name, value in flags.items())])]


def ours(cluster: Facts, node: Node) -> list[Unit]:
    """k3s-rs-apiserver."""
    config = "/etc/k3s-rs/apiserver.json"
    settings = {
        "datastore": cluster.datastore,
        "listen": "0.0.0.0:6443",
        "advertiseAddress": node.address,
        "serviceClusterIPRange": cluster.service_range,
        "clientCAFile": f"{PKI}/ca.crt",
        "tlsCertFile": f"{PKI}/apiserver.crt",
        "tlsPrivateKeyFile": f"{PKI}/apiserver.key",
        "kubeletClientCertificate": f"{PKI}/kubelet-client.crt",
        "kubeletClientKey": f"{PKI}/kubelet-client.key",
        "kubeletCertificateAuthority": f"{PKI}/ca.crt",
        "serviceAccountKeyFile": f"{PKI}/sa.pub",
        "serviceAccountSigningKeyFile": f"{PKI}/sa.key",
        "serviceAccountIssuer": f"https://kubernetes.default.svc.{cluster.domain}",
        "requestheaderClientCAFile": f"{PKI}/front.crt",
        "proxyClientCertFile": f"{PKI}/front-client.crt",
        "proxyClientKeyFile": f"{PKI}/front-client.key",
    }
    command = [f"{OURS}/k3s-rs-apiserver", "--config", config]
    return [Unit("k3s-rs-apiserver", command, files={config: json.dumps(settings, indent=1)}, before=["mkdir -p /run/k3s-rs"])]
