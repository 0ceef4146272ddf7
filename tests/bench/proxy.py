"""k3s-rs-proxy beside kube-proxy (nftables): many Services at start, one endpoint that changes, memory at rest.

    python3 tests/bench/proxy.py --bin DIR [--services 10000] [--changes 30]     (root; DIR has a release k3s-rs-proxy)

Both read the same kube-apiserver, one after the other, each in a network namespace of its own.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machines import parts, paths  # noqa: E402
from machines.cluster import Cluster  # noqa: E402
from machines.commands import archive  # noqa: E402
from machines.shell import wait_until  # noqa: E402

RESULTS = Path(__file__).with_name("results") / "proxy.md"
SYNC = "kubeproxy_sync_proxy_rules_duration_seconds"
TICKS = os.sysconf("SC_CLK_TCK")


class Api:
    """The API server as an administrator, one connection a thread."""

    def __init__(self, cluster: Cluster):
        pki = cluster.folder / "share/pki"
        self.context = ssl.create_default_context(cafile=pki / "ca.crt")
        self.context.check_hostname = False
        self.context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self.port = cluster.port

    def connect(self) -> http.client.HTTPSConnection:
        """A new connection."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context)

    def send(self, connection: http.client.HTTPSConnection, method: str, path: str, body: dict) -> None:
        """One request that must succeed."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        response = connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {text[:300]!r}")


def address(number: int) -> str:
    """An endpoint's address in the pods' range."""
    return f"10.42.{64 + number // 250 % 190}.{1 + number % 250}"


def endpoints(number: int, turn: int = 0) -> list[dict]:
    """Two endpoints of a Service; the second one differs from turn to turn."""
    ready = {"ready": True, "serving": True, "terminating": False}
    addresses = [address(2 * number), address(2 * number + 1) if not turn else f"10.42.1.{turn % 250 + 1}"]
    return [{"addresses": [ip], "conditions": ready, "nodeName": "elsewhere"} for ip in addresses]


def fill(api: Api, count: int) -> None:
    """Makes the Services and their slices."""

    def some(first: int) -> None:
        connection = api.connect()
        for number in range(first, count, 8):
            name = f"s{number}"
            port = {"port": 80, "protocol": "TCP", "name": ""}
            service = {"metadata": {"name": name}, "spec": {"ports": [port]}}
            api.send(connection, "POST", "/api/v1/namespaces/default/services", service)
            meta = {"name": name, "labels": {"kubernetes.io/service-name": name}}
            ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
            body = {"metadata": meta, "addressType": "IPv4", "ports": ports, "endpoints": endpoints(number)}
            api.send(connection, "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(some, range(8)))


class Proxy:
    """A running proxy in its namespace."""

    def __init__(self, namespace: str, command: list[str], log: Path):
        self.namespace = namespace
        self.begun = time.monotonic()
        with open(log, "wb") as output:
            self.process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdout=output, stderr=output)

    def metrics(self) -> dict[str, float]:
        """Its metrics, summed over labels without kube-proxy's of IPv6, which has nothing to do; empty before it serves them."""
        command = ["ip", "netns", "exec", self.namespace, "curl", "-s", "-m", "2", "http://127.0.0.1:10249/metrics"]
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        found = re.findall(r'^(kubeproxy_\w+)(?:\{(?![^}]*"IPv6")[^}]*\})? ([0-9.e+-]+)$', text, re.MULTILINE)
        sums: dict[str, float] = {}
        for name, value in found:
            if "_bucket" not in name:
                sums[name] = sums.get(name, 0) + float(value)
        return sums

    def syncs(self) -> tuple[float, float]:
        """How many times it synced, and the seconds that took."""
        metrics = self.metrics()
        return metrics.get(f"{SYNC}_count", 0), metrics.get(f"{SYNC}_sum", 0)

    def elements(self) -> int:
        """Endpoint addresses in its rules."""
        # nft 1.0.6 cannot list rules in which a map's value is a key
        what = "ruleset" if "kube-proxy" in self.namespace else "map ip k3s-rs-services endpoints"
        command = ["ip", "netns", "exec", self.namespace, "nft", "-n", "list", *what.split()]
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return len(re.findall(r"10\.42\.\d+\.\d+ \. 8080", text))

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def delayed(self) -> float:
        """Milliseconds its threads have been ready to run and had no processor."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the thread has ended
                total += int((task / "schedstat").read_text().split()[1])
        return total / 1e6

    def rss(self) -> float:
        """Resident memory in MiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(20)


def measure(proxy: Proxy, api: Api, services: int, turns: range) -> dict[str, float]:
    """All figures of one proxy; what is a change to one must not have been made for the other already."""
    figures: dict[str, float] = {}
    changes = len(turns)
    wait_until("first sync", lambda: proxy.syncs()[0] > 0, 600)
    figures["first sync, s"] = round(proxy.syncs()[1], 3)
    figures["start to the end of that, s"] = round(time.monotonic() - proxy.begun, 1)
    figures["CPU for that, s"] = round(proxy.cpu(), 2)
    connection, times, before_cpu = api.connect(), [], proxy.cpu()
    for turn in turns:
        count, seconds = proxy.syncs()
        delayed = proxy.delayed()
        number = turn * 37 % services
        path = f"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s{number}"
        api.send(connection, "PATCH", path, {"endpoints": endpoints(number, turn)})
        wait_until("sync of the change", lambda before=count: proxy.syncs()[0] > before, 600)
        after = proxy.syncs()
        times.append(((after[1] - seconds) / (after[0] - count) * 1000, proxy.delayed() - delayed))
    worst, delayed = max(times)
    figures["one endpoint change, median ms"] = round(statistics.median(took for took, _ in times), 2)
    figures["one endpoint change, worst ms"] = round(worst, 2)
    figures["during the worst its threads waited for a processor, ms"] = round(delayed, 2)
    figures["CPU of one change, ms"] = round((proxy.cpu() - before_cpu) / changes * 1000, 1)
    idle = proxy.cpu()
    begin = time.monotonic()
    wait_until("ten seconds of rest", lambda: time.monotonic() - begin > 10, 20)
    figures["CPU at rest, %"] = round((proxy.cpu() - idle) / (time.monotonic() - begin) * 100, 2)
    figures["memory at rest, MiB"] = round(proxy.rss(), 1)
    # last: listing a table of 40,000 lines holds the kernel's table lock for most of a minute
    wait_until("all endpoints", lambda: proxy.elements() >= 2 * services, 900)
    return figures


@contextmanager
def control_plane(name: str):
    """A kube-apiserver on a machine."""
    cluster = Cluster.create(name, parts.parse("all=none,datastore=upstream,apiserver=upstream"), machines=["n1"])
    try:
        cluster.up(archive(), "api")
        yield cluster
    finally:
        cluster.down()


def commands(cluster: Cluster, binaries: Path, folder: Path) -> dict[str, list[str]]:
    """The programs, by name."""
    kubeconfig = cluster.folder / "share/pki/admin.conf"
    settings = {"kubeconfig": str(kubeconfig), "hostnameOverride": "bench", "clusterCIDR": "10.42.0.0/16"}
    (folder / "proxy.json").write_text(json.dumps(settings))
    flags = ["--proxy-mode=nftables", "--cluster-cidr=10.42.0.0/16", "--hostname-override=bench", f"--kubeconfig={kubeconfig}"]
    flags += ["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"]
    return {
        "k3s-rs-proxy": [str(binaries / "k3s-rs-proxy"), "--config", str(folder / "proxy.json")],
        "kube-proxy": [str(paths.programs() / "kube-proxy"), *flags],
    }


def table(figures: dict[str, dict[str, float]], note: str) -> str:
    """The figures side by side."""
    names = list(figures)
    lines = [note, "", f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    rows = list(dict.fromkeys(row for one in figures.values() for row in one))
    lines += [f"| {row} | {' | '.join(str(figures[name].get(row, '–')) for name in names)} |" for row in rows]
    return "\n".join([*lines, ""])


def main() -> None:
    """Runs the bench and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--profile", default="release", help="how ours was built")
    options = parser.parse_args()
    figures = {}
    with control_plane("benchproxy") as cluster, tempfile.TemporaryDirectory() as folder:
        api = Api(cluster)
        node = {"metadata": {"name": "bench"}}
        api.send(api.connect(), "POST", "/api/v1/nodes", node)
        fill(api, options.services)
        for index, (name, command) in enumerate(commands(cluster, options.bin, Path(folder)).items()):
            cluster.network.attach(name, 5 + index)
            proxy = Proxy(cluster.network.namespace(name), command, Path(folder) / f"{name}.log")
            try:
                first = 1 + index * options.changes
                figures[name] = measure(proxy, api, options.services, range(first, first + options.changes))
            finally:
                proxy.end()
            print(name, figures[name], flush=True)
    note = f"{options.services} Services with two endpoints each, {options.changes} changes, {options.profile} profile, 2 cores, 24 GiB."
    text = table(figures, note)
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
