"""What each daemon takes: start, memory and processor time at rest, size; upstream's parts beside ours in one run.

    python3 tests/bench/footprint.py --root INSTALLATION [--rest 300] [--pods 20] [--rounds 3]

INSTALLATION is what `xtask install --profile release --destdir` made. Two clusters of two machines each: ours as installed,
started by its target; upstream's parts in units of their own, its certificates made before. Both stand side by side, so
that whatever else the machine does burdens both alike. A start is measured twice: on an empty machine, and with
everything there (certificates, images, objects) but no process, its node and pod new. Times run from `systemctl start` to
the answer a client sees; memory is read from the kernel after the rest, processor time over it.
"""

import argparse
import base64
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machines import commands, parts, paths, product, scenario  # noqa: E402
from machines.cluster import Cluster  # noqa: E402

RESULTS = Path(__file__).parent / "results/footprint.md"
PODS = "/api/v1/namespaces/default/pods"
TICK = os.sysconf("SC_CLK_TCK")
# ours, and the program of upstream's that does the same; the pod network of the test machines' upstream is static routes
PAIRS = {
    "datastore": "etcd", "apiserver": "kube-apiserver", "controller": "kube-controller-manager", "scheduler": "kube-scheduler",
    "kubelet": "kubelet", "proxy": "kube-proxy", "flannel": "",
}
AIMS = {"API ready": 0.1, "node Ready": 1.0, "first pod Running": 2.0}


class Side:
    """One of the two clusters."""

    name: str
    units: dict[str, str]

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.server = cluster.machines[cluster.nodes[0].name]
        self.tls = ssl._create_unverified_context()  # noqa: S323 - what is measured is time
        self.starts: list[dict[str, float]] = []
        self.first: dict[str, float] = {}

    def boot(self) -> None:
        """Machines up, nothing of the cluster started."""
        raise NotImplementedError

    def launch(self) -> Callable[[], None]:
        """What starts the server machine's units; it is called when the clock runs."""
        raise NotImplementedError

    def identity(self) -> bool:
        """Takes the administrator's certificate for the requests that follow, if there is one yet."""
        raise NotImplementedError

    def join(self) -> None:
        """The second machine's units."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends every process of the first machine's units, the runtime's too."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        """A request; an answer that is a failure is an error."""
        connection = HTTPSConnection("127.0.0.1", self.cluster.port, context=self.tls, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
            return json.loads(text) if text.startswith(b"{") else {}
        finally:
            connection.close()

    def until(self, what: str, condition: Callable[[], bool], timeout: float = 120) -> float:
        """The clock when a condition first holds; requests that fail count as no."""
        limit = time.monotonic() + timeout
        last: Exception | None = None
        while time.monotonic() < limit:
            try:
                if condition():
                    return time.monotonic()
            except (OSError, HTTPException, RuntimeError) as error:
                last = error
            time.sleep(0.002)
        raise RuntimeError(f"{self.name}: no {what} in {timeout:.0f} s ({last})")

    def api(self) -> bool:
        """Whether the API server calls itself ready."""
        self.ask("GET", "/readyz")
        return True

    def ready(self) -> bool:
        """Whether the first machine's node is Ready."""
        node = self.ask("GET", f"/api/v1/nodes/{self.server.name}")
        return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))

    def cold(self) -> None:
        """The first start, on a machine that never had a cluster."""
        begin = self.clock()
        self.until("administrator", self.identity)
        self.first["API ready"] = self.until("API", self.api) - begin
        self.first["node Ready"] = self.until("ready node", self.ready) - begin

    def warm(self, number: int) -> None:
        """A start with everything there but the processes; the node registers anew and a pod is wanted at once."""
        self.server.succeed(f"systemctl stop {self.units['kubelet']}")  # else it would register again
        self.ask("DELETE", f"/api/v1/nodes/{self.server.name}")
        self.stop()
        begin = self.clock()
        found = {"API ready": self.until("API", self.api) - begin}
        name = f"first-{number}"
        self.until("pod", lambda: bool(self.ask("POST", PODS, pod(name, self.server.name))))
        found["node Ready"] = self.until("ready node", self.ready) - begin
        running = lambda: self.ask("GET", f"{PODS}/{name}")["status"].get("phase") == "Running"  # noqa: E731
        found["first pod Running"] = self.until("running pod", running) - begin
        self.starts.append(found)
        self.ask("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        say(f"{self.name}: {found}")

    def clock(self) -> float:
        """Starts the units, without waiting for them; when that was."""
        launch = self.launch()
        begin = time.monotonic()
        launch()
        return begin

    def fill(self, count: int) -> None:
        """A Deployment of sleeping pods over both nodes."""
        template = {"metadata": {"labels": {"app": "rest"}}, "spec": pod("x", "")["spec"]}
        template["spec"].pop("tolerations")
        template["spec"].pop("nodeSelector")
        spec = {"replicas": count, "selector": {"matchLabels": {"app": "rest"}}, "template": template}
        path = "/apis/apps/v1/namespaces/default/deployments"
        self.ask("POST", path, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rest"}, "spec": spec})
        self.until("running pods", lambda: self.ask("GET", f"{path}/rest")["status"].get("readyReplicas") == count, 300)

    def use(self) -> dict[str, dict[str, float]]:
        """Each daemon's memory in KiB and processor time in seconds, over both machines."""
        found: dict[str, dict[str, float]] = {}
        for machine in self.cluster.machines.values():
            for part, unit in self.units.items():
                pid = machine.get_unit_property(f"{unit}.service", "MainPID")
                if pid == "0":
                    continue
                text = machine.succeed(f"cat /proc/{pid}/smaps_rollup /proc/{pid}/stat")
                kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith(("Rss:", "Pss:"))}
                fields = text.splitlines()[-1].rsplit(")", 1)[1].split()
                row = found.setdefault(part, {"rss": 0, "pss": 0, "cpu": 0, "count": 0})
                row["rss"] += kilobytes["Rss"]
                row["pss"] += kilobytes["Pss"]
                row["cpu"] += (int(fields[11]) + int(fields[12])) / TICK
                row["count"] += 1
        return found


class Ours(Side):
    """The installation."""

    name = "ours"
    units = {part: f"k3s-rs-{part}" for part in PAIRS}

    def __init__(self, root: Path):
        self.root = root
        layers = [root, product.upstream()]
        super().__init__(Cluster.create("footours", parts.parse("all=none"), machines=["server", "agent"], layers=layers))

    def boot(self) -> None:
        self.cluster.boot_all()
        for node in self.cluster.nodes:
            product.prepare(self.cluster, node.name, scenario.archive("basic"))
        settings = {"node-ip": self.cluster.nodes[0].address, "tls-san": ["127.0.0.1"], "write-kubeconfig-mode": "0644"}
        product.configure(self.cluster, "server", settings)
        self.cluster.forward([(self.cluster.port, f"{self.cluster.nodes[0].address}:6443")])

    def launch(self) -> Callable[[], None]:
        return lambda: start(self.server.enter(["systemctl", "start", "--no-block", "k3s-rs-server.target"]))

    def identity(self) -> bool:
        file = self.server.upper / product.KUBECONFIG.lstrip("/")
        found = re.findall(r"client-(?:certificate|key)-data: *(\S+)", file.read_text()) if file.exists() else []
        if len(found) != 2:
            return False
        pem = self.cluster.folder / "admin.pem"
        pem.write_bytes(b"".join(map(base64.b64decode, found)))
        self.tls.load_cert_chain(pem)
        return True

    def join(self) -> None:
        server, agent = self.cluster.nodes
        token = self.server.succeed(f"cat {product.TOKEN}").strip()
        product.configure(self.cluster, agent.name, {"server": f"https://{server.address}:6443", "token": token, "node-ip": agent.address})
        product.start(self.cluster, agent.name, "k3s-rs-agent.target")

    def stop(self) -> None:
        self.server.succeed("systemctl stop k3s-rs-server.target k3s-rs-agent.target 'k3s-rs-*.socket' 'k3s-rs-*.service'", timeout=180)

    def size(self, part: str) -> int:
        """The program's bytes."""
        return (self.root / f"usr/libexec/k3s-rs/k3s-rs-{part}").stat().st_size


class Upstream(Side):
    """Upstream's parts."""

    name = "upstream"
    units = {part: program for part, program in PAIRS.items() if program}

    def __init__(self) -> None:
        super().__init__(Cluster.create("footup", parts.parse("all=upstream"), machines=["server", "agent"]))

    def boot(self) -> None:
        self.cluster.up(scenario.archive("conformance"), "machines")
        # `up` has started the units as well: all of it is taken back, so that the start can be timed
        self.stop()
        self.cluster.machines["agent"].succeed(f"systemctl stop {' '.join(self.names(1))}")
        self.server.succeed("rm -rf /var/lib/etcd/* /var/lib/kubelet/*")

    def names(self, index: int) -> list[str]:
        """A machine's units."""
        return [unit.name for part in ("containerd", *parts.NAMES) for unit in self.cluster.units(self.cluster.nodes[index], part)]

    def launch(self) -> Callable[[], None]:
        return lambda: start(self.server.enter(["systemctl", "start", "--no-block", *self.names(0)]))

    def identity(self) -> bool:
        pki = self.cluster.folder / "share/pki"
        self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return True

    def join(self) -> None:
        self.cluster.kubectl("apply", "-f", str(paths.HERE / "coredns.yaml"))
        self.cluster.machines["agent"].succeed(f"systemctl start {' '.join(self.names(1))}")

    def stop(self) -> None:
        units = " ".join(self.names(0))
        # at once: kube-apiserver takes a minute to end in order
        self.server.succeed(f"systemctl kill --kill-whom=main --signal=KILL {units} || true; systemctl stop {units}", timeout=180)

    def size(self, part: str) -> int:
        """The program's bytes."""
        return (paths.programs() / PAIRS[part]).stat().st_size if PAIRS[part] else 0


def pod(name: str, node: str) -> dict:
    """A pod whose image is there, for one machine, taken before that is called ready."""
    container = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000000"]}
    tolerations = [{"operator": "Exists"}]
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "tolerations": tolerations, "nodeSelector": {"kubernetes.io/hostname": node}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def start(command: list[str]) -> None:
    """Runs a command of a machine at once, without a shell."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def starts(sides: list[Side]) -> list[str]:
    """The table of starts."""
    out = ["| seconds from `systemctl start` | " + " | ".join(f"{side.name}, {kind}" for kind in ("empty machine", "all there") for side in sides) + " | aim |"]
    out.append("|" + "---|" * (2 * len(sides) + 2))
    for what, aim in AIMS.items():
        cold = [f"{side.first[what]:.2f}" if what in side.first else "" for side in sides]
        warm = [f"{statistics.median(row[what] for row in side.starts):.2f}" for side in sides]
        out.append(f"| {what} | {' | '.join([*cold, *warm])} | {aim} |")
    return out


def footprint(sides: list[Side], before: list[dict], after: list[dict], rest: float) -> list[str]:
    """The table of daemons; processes of both machines added up."""
    columns = ("processes", "RSS MiB", "PSS MiB", "CPU ms/s", "program MB")
    out = ["| daemon | " + " | ".join(f"{column}, {side.name}" for column in columns for side in sides) + " |", "|" + "---|" * (len(columns) * len(sides) + 1)]
    total = [[0.0] * len(columns) for _ in sides]
    for part, program in PAIRS.items():
        cells = []
        for number, side in enumerate(sides):
            row = after[number].get(part)
            if not row:
                cells.append([""] * len(columns))
                continue
            cpu = (row["cpu"] - before[number][part]["cpu"]) / rest * 1000
            values = [row["count"], row["rss"] / 1024, row["pss"] / 1024, cpu, side.size(part) / 1e6]
            total[number] = [a + b for a, b in zip(total[number], values, strict=True)]
            cells.append([f"{value:.0f}" if column == 0 else f"{value:.1f}" for column, value in enumerate(values)])
        mixed = [cell for column in zip(*cells, strict=True) for cell in column]
        out.append(f"| {part}{f' / {program}' if program else ''} | {' | '.join(mixed)} |")
    mixed = [f"{value:.0f}" if column == 0 else f"{value:.1f}" for column, pair in enumerate(zip(*total, strict=True)) for value in pair]
    return [*out, f"| all | {' | '.join(mixed)} |"]


def main() -> None:
    """Both clusters up, started again, filled, at rest; the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--rest", type=int, default=300)
    options.add_argument("--pods", type=int, default=20)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--profile", default="release", help="what the table says of the installation")
    given = options.parse_args()
    sides: list[Side] = []
    try:
        sides.append(Ours(given.root))
        sides.append(Upstream())
        for side in sides:
            side.boot()
        for side in sides:
            side.cold()
            say(f"{side.name}: {side.first}")
        for side in sides:
            side.join()
            nodes = lambda side=side: len(side.ask("GET", "/api/v1/nodes")["items"]) == len(side.cluster.nodes)  # noqa: E731
            side.until("second node", nodes)
        for number in range(given.rounds):
            for side in sides:
                side.warm(number)
        with ThreadPoolExecutor(len(sides)) as pool:
            list(pool.map(lambda side: side.fill(given.pods), sides))
        say(f"{given.pods} pods each; {given.rest} s of rest")
        time.sleep(30)  # what the last starts set going ends
        before = [side.use() for side in sides]
        time.sleep(given.rest)
        after = [side.use() for side in sides]
        write(sides, before, after, given)
    finally:
        for side in sides:
            side.cluster.down()


def write(sides: list[Side], before: list[dict], after: list[dict], given: argparse.Namespace) -> None:
    """Prints the result and keeps it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    head = f"`tests/bench/footprint.py`, {given.profile} profile, {os.cpu_count()} processors, {memory} GiB, nspawn machines, load average {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d')}."
    rest = f"At rest {given.rest} s, two nodes, {given.pods} pods and CoreDNS; the node's daemons run twice, once a machine."
    note = "Our first start makes all certificates and unpacks the images; upstream's find theirs made."
    text = "\n".join(["# Footprint", "", head, "", *starts(sides), "", f"Medians of {given.rounds} starts. {note}", "", *footprint(sides, before, after, given.rest), "", rest, ""])
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
