"""Pods placed per second of processor time on 5,000 nodes: our scheduler beside kube-scheduler, same API server, same run.

    python3 tests/bench/scheduler.py --ours DIR/k3s-rs-scheduler [--nodes 5000] [--pods 1000] [--rounds 3] [--sides ours] [--write]

One etcd and one kube-apiserver on loopback, nodes that exist only as objects, no kubelets. Each round starts each scheduler
anew, waits until it idles, creates the pods, waits until all have a node, and removes them.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.machines import paths  # noqa: E402

TOKEN = "bench"
RESULTS = Path(__file__).resolve().parent / "results" / "scheduler.md"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, by the kernel's clock of it: /proc counts in hundredths of a second, a tenth of a round of ours."""
    return time.clock_gettime(~pid << 3 | 2)


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class Api:
    """The API server, spoken to by as many connections as there are threads."""

    def __init__(self, port: int):
        self.port = port
        self.context = ssl._create_unverified_context()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=120)

    def call(self, method: str, path: str, body: object = None, connection=None) -> dict:
        connection = connection or self.connect()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data)

    def create(self, path: str, objects: list) -> None:
        """Creates objects, eight at a time."""

        def some(part: list) -> None:
            connection = self.connect()
            for item in part:
                self.call("POST", path, item, connection)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(some, [objects[i::8] for i in range(8)]))

    def count(self, path: str) -> int:
        """How many objects a list has."""
        answer = self.call("GET", f"{path}{'&' if '?' in path else '?'}limit=1&resourceVersion=")
        return len(answer["items"]) + answer["metadata"].get("remainingItemCount", 0)


def node(i: int) -> dict:
    """A node of a kind upstream's own bench has: 4 CPUs, 32 GiB, one of ten zones."""
    name = f"node-{i}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{i % 10}"}
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    status = {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def pod(i: int, workload: str) -> dict:
    """A pod of a workload."""
    container = {"name": "pause", "image": "pause", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    selector = {"matchLabels": {"app": workload}}
    if workload == "anti-affinity":
        term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    if workload == "spread":
        spec["topologySpreadConstraints"] = [
            {"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
        ]
    metadata = {"name": f"{workload}-{i}", "namespace": "default", "labels": {"app": workload}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Bench:
    """The API server and what is measured against it."""

    def __init__(self, folder: Path, ours: Path):
        self.folder, self.ours, self.started = folder, ours, []
        self.bin = paths.programs()

    def start(self, name: str, command: list) -> subprocess.Popen:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115  closed with the process
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, cwd=self.folder)
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen) -> None:
        process.terminate()
        process.wait(30)
        self.started.remove(process)

    def serve(self) -> Api:
        """Starts etcd and the API server."""
        client, peer, port = free_port(), free_port(), free_port()
        url = f"http://127.0.0.1:{client}"
        self.start("etcd", [self.bin / "etcd", f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync",
                            f"--listen-client-urls={url}", f"--advertise-client-urls={url}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
                            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}"])
        (self.folder / "tokens").write_text(f'{TOKEN},bench,1,"system:masters"\n')
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
        self.start("apiserver", [self.bin / "kube-apiserver", f"--etcd-servers={url}", f"--cert-dir={self.folder}/certs",
                                 "--bind-address=127.0.0.1", f"--secure-port={port}", f"--token-auth-file={self.folder}/tokens",
                                 f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
                                 "--service-account-issuer=https://bench", "--authorization-mode=RBAC",
                                 "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition", "--max-requests-inflight=2000",
                                 "--max-mutating-requests-inflight=2000", "--service-cluster-ip-range=10.0.0.0/24"])
        api = Api(port)
        until("the API server answers", lambda: quietly(lambda: api.call("GET", "/api/v1/namespaces/default")), 120)
        # its certificate is its own authority; ours verifies it, so it is given as one
        user = {"name": "u", "user": {"token": TOKEN}}
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": f"{self.folder}/certs/apiserver.crt"}
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [user],
            "clusters": [{"name": "c", "cluster": cluster}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))
        return api

    def scheduler(self, which: str) -> subprocess.Popen:
        """Starts a scheduler."""
        port = free_port()
        if which == "upstream":
            # the client's rate limit would be what is measured
            config = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
                      "clientConnection": {"kubeconfig": str(self.kubeconfig), "qps": 10000, "burst": 10000},
                      "leaderElection": {"leaderElect": False}}
            file = self.folder / "upstream.json"
            file.write_text(json.dumps(config))
            return self.start("upstream", [self.bin / "kube-scheduler", f"--config={file}", f"--secure-port={port}"])
        file = self.folder / "ours.json"
        file.write_text(json.dumps({"kubeconfig": str(self.kubeconfig), "bindAddress": f"127.0.0.1:{port}"}))
        return self.start("ours", [self.ours, "--config", file])


def quietly(call) -> bool:
    """Whether a call gives something but an error."""
    try:
        return call() is not None
    except (OSError, RuntimeError, http.client.HTTPException):
        return False


def until(what: str, holds, seconds: float) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)


def settle(process: subprocess.Popen) -> None:
    """Waits until a process uses next to no processor time."""
    last, calm = cpu_seconds(process.pid), 0
    while calm < 12:  # on a busy machine a first list may take seconds
        time.sleep(0.5)
        now = cpu_seconds(process.pid)
        calm = calm + 1 if now - last < 0.05 and now > 0 else 0
        last = now


def measure(bench: Bench, api: Api, which: str, workload: str, pods: int) -> dict:
    """One round of one scheduler."""
    process = bench.scheduler(which)
    settle(process)
    idle = resident(process.pid)
    before, begun = cpu_seconds(process.pid), time.monotonic()
    api.create("/api/v1/namespaces/default/pods", [pod(i, workload) for i in range(pods)])
    path = "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName%3D"
    until(f"{which} {workload}", lambda: api.count(path) == 0, 900)
    wall = time.monotonic() - begun
    settle(process)
    used, busy = cpu_seconds(process.pid) - before, resident(process.pid)
    bench.stop(process)
    for collection in ("/api/v1/namespaces/default/pods", "/apis/events.k8s.io/v1/namespaces/default/events"):
        # on a busy machine a request ends before it has deleted all
        until("all gone", lambda path=collection: quietly(lambda: api.call("DELETE", path, {"gracePeriodSeconds": 0})) and not api.count(path), 600)
    print(f"{workload:14} {which:9} {pods / used:9.0f} pods/CPU s  {used:6.2f} CPU s  {wall:6.1f} s", flush=True)
    return {"rate": pods / used, "used": used, "wall": wall, "idle": idle, "busy": busy}


def table(results: dict, arguments: argparse.Namespace) -> str:
    """Medians, as Markdown."""
    median = lambda rows, key: statistics.median(row[key] for row in rows)  # noqa: E731
    lines = [
        f"{arguments.nodes} nodes, {arguments.pods} pods a round, medians of {arguments.rounds} rounds; one etcd and kube-apiserver for both.",
        "",
        "| workload | pods per CPU second, ours | kube-scheduler | ratio | wall s, ours | kube-scheduler | idle MiB, ours | kube-scheduler |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for workload, by in results.items():
        if len(by) < 2:
            continue  # one side alone has no ratio
        ours, theirs = by["ours"], by["upstream"]
        ratio = median(ours, "rate") / median(theirs, "rate")
        lines.append(
            f"| {workload} | {median(ours, 'rate'):.0f} | {median(theirs, 'rate'):.0f} | {ratio:.1f}× | {median(ours, 'wall'):.1f} "
            f"| {median(theirs, 'wall'):.1f} | {median(ours, 'idle'):.1f} | {median(theirs, 'idle'):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workloads", default="plain,anti-affinity,spread")
    parser.add_argument("--sides", default="ours,upstream", help="one alone for a quick look; only pairs are written")
    parser.add_argument("--profile", default="release", help="how ours was built")
    parser.add_argument("--write", action="store_true", help="write the table to tests/bench/results")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="bench-scheduler-") as folder:
        bench = Bench(Path(folder), arguments.ours.resolve())
        try:
            api = bench.serve()
            api.create("/api/v1/nodes", [node(i) for i in range(arguments.nodes)])
            results: dict = {}
            for _ in range(arguments.rounds):
                for workload in arguments.workloads.split(","):
                    for which in arguments.sides.split(","):
                        row = measure(bench, api, which, workload, arguments.pods)
                        results.setdefault(workload, {}).setdefault(which, []).append(row)
            text = table(results, arguments)
            print(text)
            if arguments.write:
                load = os.getloadavg()[0]
                head = f"# Scheduler\n\nProfile {arguments.profile}; 2 cores, 24 GiB, load average {load:.0f} at the end: only the pairs compare.\n"
                RESULTS.write_text(f"{head}\n{text}\n")
        finally:
            for process in reversed(bench.started):
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
