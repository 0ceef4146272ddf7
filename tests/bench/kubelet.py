"""The kubelet beside upstream's: create → Running, memory and processor time at rest.

    python3 tests/bench/kubelet.py --bin DIR [--starts 20] [--pods 30] [--rest 60]

Two clusters of one machine each, both wholly upstream's but for the kubelet in one of them, run at the same time; pods are
created in turn here and there, so that whatever else the machine does burdens both alike. A pod names its node, so no
scheduler is in the way. Times are those a watcher sees. DIR has a k3s-rs-kubelet of the release profile.
"""

import argparse
import json
import os
import re
import ssl
import statistics
import sys
import time
from contextlib import ExitStack
from http.client import HTTPSConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machines import commands, parts  # noqa: E402
from machines.cluster import Cluster  # noqa: E402

RESULTS = Path(__file__).parent / "results/kubelet.md"
IMAGE = "registry.k8s.io/pause:3.10.2"
PODS = "/api/v1/namespaces/default/pods"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Side:
    """One of the two clusters."""

    def __init__(self, name: str, choice: str, binaries: Path | None):
        self.name = name
        chosen = parts.parse(f"all=upstream,kubelet={choice}")
        self.cluster = Cluster.create(f"bench{name}", chosen, machines=["n1"], binaries=binaries)
        self.program = "k3s-rs-kubelet" if choice == "ours" else "kubelet"

    def up(self) -> None:
        self.cluster.up(commands.archive(), "dns", commands.say)
        pki = self.cluster.folder / "share/pki"
        self.tls = ssl._create_unverified_context()  # noqa: S323
        self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def connect(self) -> HTTPSConnection:
        connection = HTTPSConnection("127.0.0.1", self.cluster.port, context=self.tls, timeout=60)
        connection.connect()
        return connection

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        connection = self.connect()
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if answer.get("kind") == "Status" and answer.get("status") == "Failure":
            raise RuntimeError(answer["message"])
        return answer

    def watch(self, name: str):
        """Events of one pod, from now on."""
        connection = self.connect()
        connection.request("GET", f"{PODS}?watch=1&fieldSelector=metadata.name%3D{name}")
        answer = connection.getresponse()
        for line in answer:
            yield json.loads(line)
        connection.close()

    def start(self, name: str) -> float:
        """Creates a pod; milliseconds until a watcher sees it run."""
        connection = self.connect()
        watching = self.connect()
        watching.request("GET", f"{PODS}?watch=1&fieldSelector=metadata.name%3D{name}")
        events = watching.getresponse()
        begin = time.monotonic()
        connection.request("POST", PODS, json.dumps(pod(name)), {"Content-Type": "application/json"})
        connection.getresponse().read()
        for line in events:
            if json.loads(line)["object"].get("status", {}).get("phase") == "Running":
                break
        taken = (time.monotonic() - begin) * 1000
        watching.close()
        connection.close()
        return taken

    def remove(self, name: str) -> None:
        """Deletes a pod and waits until it is gone."""
        events = self.watch(name)
        next(events)
        self.ask("DELETE", f"{PODS}/{name}?gracePeriodSeconds=1")
        for event in events:
            if event["type"] == "DELETED":
                return

    def process(self) -> int:
        """The kubelet's process, by this machine's numbers."""
        machine = self.cluster.machines["n1"]
        inside = machine.succeed(f"systemctl show -P MainPID {'k3s-rs-kubelet' if self.program != 'kubelet' else 'kubelet'}").strip()
        leader = machine.leader()
        space = os.readlink(f"/proc/{leader}/ns/pid")
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "ns/pid") != space:
                    continue
                numbers = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("NSpid"))
            except (OSError, StopIteration):
                continue  # ended meanwhile
            if numbers.split()[-1] == inside:
                return int(folder.name)
        raise RuntimeError(f"no process of {self.program}")

    def runtime(self) -> float:
        """Seconds the kubelet has waited for the runtime to make sandboxes and containers and to start them."""
        connection = self.connect()
        connection.request("GET", "/api/v1/nodes/n1/proxy/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        name = r"^kubelet_runtime_operations_duration_seconds_sum\{operation_type=\"(?:run_podsandbox|create_container|start_container)\"\} (\S+)"
        return sum(float(value) for value in re.findall(name, text, re.MULTILINE))

    def rest(self, seconds: float) -> tuple[float, float]:
        """Resident MiB, and per cent of a processor over a while."""
        process = self.process()

        def used() -> float:
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / TICK

        before, begin = used(), time.monotonic()
        time.sleep(seconds)  # the measurement itself: a while of nothing to do
        share = (used() - before) / (time.monotonic() - begin) * 100
        resident = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 2**20
        return resident, share


def pod(name: str) -> dict:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def both(sides: list[Side], seconds: float) -> dict[str, tuple[float, float]]:
    """At rest, side by side."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(len(sides)) as pool:
        return dict(zip([side.name for side in sides], pool.map(lambda side: side.rest(seconds), sides), strict=True))


def measure(sides: list[Side], options: argparse.Namespace) -> list[tuple[str, str, str]]:
    rows = []
    idle = both(sides, options.rest)
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    before: dict[str, float] = {}
    for turn in range(options.starts + 2):
        for side in sides:
            if turn == 2:
                before[side.name] = side.runtime()
            taken = side.start(f"start{turn}")
            side.remove(f"start{turn}")
            if turn > 1:  # the first ones warm both up
                times[side.name].append(taken)
    for label, pick in [("p50", 0.5), ("p90", 0.9)]:
        cells = [f"{statistics.quantiles(times[side.name], n=100)[int(pick * 100) - 1]:.0f} ms" for side in sides]
        rows.append((f"create → Running, {label} of {options.starts}", *cells))
    inside = [(side.runtime() - before[side.name]) / options.starts * 1000 for side in sides]
    rows.append(("of it within containerd, mean", *(f"{value:.0f} ms" for value in inside)))
    for number in range(options.pods):
        for side in sides:
            side.start(f"rest{number}")
    full = both(sides, options.rest)
    for what, measured in [("no pods of ours", idle), (f"{options.pods} pods", full)]:
        rows.append((f"resident, {what}", *(f"{measured[side.name][0]:.1f} MiB" for side in sides)))
        rows.append((f"processor over {options.rest:.0f} s, {what}", *(f"{measured[side.name][1]:.2f} %" for side in sides)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--rest", type=float, default=60)
    parser.add_argument("--profile", default="release")
    options = parser.parse_args()
    sides = [Side("ours", "ours", options.bin), Side("upstream", "upstream", None)]
    with ExitStack() as stack:
        for side in sides:
            stack.callback(side.cluster.down)
        for side in sides:
            side.up()
        rows = measure(sides, options)
    lines = ["| | ours | upstream 1.36.3 |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    text = "\n".join(lines)
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    head = f"# Kubelet\n\n`tests/bench/kubelet.py`, {options.profile} profile, 2 cores, 24 GiB, nspawn machines, {time.strftime('%Y-%m-%d')}.\n\n"
    RESULTS.write_text(head + text + "\n")


if __name__ == "__main__":
    main()
