"""k3s-rs-flannel at rest: memory and processor time on a node with many peers; beside flanneld where it is given.

    python3 tests/bench/flannel.py --bin DIR [--flanneld FILE] [--peers 100]     (root; DIR has a release k3s-rs-flannel)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from proxy import Api, Proxy, control_plane, table, wait_until  # noqa: E402

RESULTS = Path(__file__).with_name("results") / "flannel.md"
PREFIX = "flannel.alpha.coreos.com/"


def add_node(api: Api, name: str, number: int, address: str) -> None:
    """A node with a pod range and an address; others say how they are reached."""
    connection = api.connect()
    mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    data = {"backend-type": "vxlan", "backend-data": json.dumps({"VNI": 1, "VtepMAC": mac}), "public-ip": address, "kube-subnet-manager": "true"}
    notes = {} if name.startswith("own") else {PREFIX + key: value for key, value in data.items()}
    body = {"metadata": {"name": name, "annotations": notes}, "spec": {"podCIDR": f"10.42.{number}.0/24", "podCIDRs": [f"10.42.{number}.0/24"]}}
    api.send(connection, "POST", "/api/v1/nodes", body)
    status = {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}
    api.send(connection, "PATCH", f"/api/v1/nodes/{name}/status", status)


def measure(daemon: Proxy, peers: int) -> dict[str, float]:
    """All figures of one daemon."""

    def routes() -> int:
        command = ["ip", "-n", daemon.namespace, "route", "show", "dev", "flannel.1"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.count("via")

    wait_until("routes to all peers", lambda: routes() >= peers, 120)
    figures = {"start to routes to all peers, s": round(time.monotonic() - daemon.begun, 2), "CPU for that, s": round(daemon.cpu(), 2)}
    begin, before = time.monotonic(), daemon.cpu()
    wait_until("half a minute of rest", lambda: time.monotonic() - begin > 30, 40)
    figures["CPU at rest, %"] = round((daemon.cpu() - before) / (time.monotonic() - begin) * 100, 2)
    figures["memory at rest, MiB"] = round(daemon.rss(), 1)
    return figures


def main() -> None:
    """Runs the bench and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--flanneld", type=Path)
    parser.add_argument("--peers", type=int, default=100)
    options = parser.parse_args()
    figures = {}
    with control_plane("benchflannel") as cluster, tempfile.TemporaryDirectory() as text:
        api, folder, network = Api(cluster), Path(text), cluster.network
        kubeconfig = str(cluster.folder / "share/pki/admin.conf")
        for number in range(options.peers):
            add_node(api, f"peer{number}", number + 1, f"{network.base}.{100 + number % 100}")
        settings = {"kubeconfig": kubeconfig, "nodeName": "own1", "clusterCIDR": "10.42.0.0/16",
                    "cniFile": str(folder / "cni.json"), "subnetFile": str(folder / "subnet.env")}
        (folder / "flannel.json").write_text(json.dumps(settings))
        (folder / "net.json").write_text(json.dumps({"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}))
        ours = [str(options.bin / "k3s-rs-flannel"), "--config", str(folder / "flannel.json")]
        theirs = ["env", "NODE_NAME=own2", str(options.flanneld), "--kube-subnet-mgr", f"--kubeconfig-file={kubeconfig}",
                  f"--net-config-path={folder / 'net.json'}", f"--subnet-file={folder / 'flanneld.env'}", "--ip-masq"]
        programs = {"k3s-rs-flannel": ours, **({"flanneld": theirs} if options.flanneld else {})}
        for index, (name, command) in enumerate(programs.items()):
            add_node(api, f"own{index + 1}", 200 + index, network.address(5 + index))
            network.attach(name, 5 + index)
            daemon = Proxy(network.namespace(name), command, folder / f"{name}.log")
            try:
                figures[name] = measure(daemon, options.peers)
            finally:
                print((folder / f"{name}.log").read_text()[-1500:] if name not in figures else figures[name], flush=True)
                daemon.end()
    note = f"A node with {options.peers} peers (VXLAN), release build, 2 cores, 24 GiB, shared with other work."
    result = table(figures, note)
    print(result)
    RESULTS.write_text(result)


if __name__ == "__main__":
    main()
