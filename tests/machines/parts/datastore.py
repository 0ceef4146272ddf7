"""The store: etcd, or ours on its unix socket."""

from .base import OURS, UPSTREAM, Facts, Node, Unit

NODES = "server"


def upstream(_cluster: Facts, _node: Node) -> list[Unit]:
    """etcd on loopback."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    urls = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
    return [Unit("etcd", [f"{UPSTREAM}/etcd", "--data-dir=/var/lib/etcd", *urls])]


def ours(_cluster: Facts, _node: Node) -> list[Unit]:
    """k3s-rs-datastore."""
    config = "/etc/k3s-rs/datastore.json"
    settings = '{"socket": "/run/k3s-rs/datastore.sock", "path": "/var/lib/k3s-rs/db/state.db"}\n'
    prepare = ["mkdir -p /run/k3s-rs /var/lib/k3s-rs/db"]
    return [Unit("k3s-rs-datastore", [f"{OURS}/k3s-rs-datastore", "--config", config], files={config: settings}, before=prepare)]
