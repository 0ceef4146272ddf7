"""The controllers beside upstream's: a Deployment of 1,000 replicas to created pods, idle cost, cache bytes a pod.

    python3 tests/bench/controller.py --bin DIR [--times 3] [--pods 100000]

Run from the root of the repository. Both work for the same real kube-apiserver, one after the other, upstream's without
limits on its requests. Nobody runs the pods: they are counted when they exist.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, ".")

from tests.loops.faults import deployment  # noqa: E402
from tests.loops.plane import Plane, Process, plane, usage, wait_for  # noqa: E402

REPLICAS = 1000
IDLE_SECONDS = 30
RESULT = Path("tests/bench/results/controller.md")


def rollout(cluster: Plane, process: Process, name: str) -> tuple[float, float]:
    """Seconds and CPU seconds of the controllers from a Deployment to its pods."""
    before, start = usage(process.pid), time.monotonic()
    cluster.kubectl("create", "-f", "-", data=json.dumps(deployment(name, REPLICAS)))
    path = "jsonpath={.status.replicas}"
    wait_for("all pods", lambda: cluster.kubectl("get", "deployment", name, "-o", path) == str(REPLICAS), 300)
    seconds = time.monotonic() - start
    assert cluster.count("pods", "-l", f"app={name}") == REPLICAS
    return seconds, usage(process.pid).cpu_seconds - before.cpu_seconds


def idle(process: Process) -> tuple[float, float]:
    """CPU milliseconds a second and MiB of a controller with nothing to do."""
    before = usage(process.pid)
    time.sleep(IDLE_SECONDS)
    after = usage(process.pid)
    return (after.cpu_seconds - before.cpu_seconds) * 1000 / IDLE_SECONDS, after.rss_mib


def fill(cluster: Plane, count: int) -> None:
    """Creates ended pods without an owner, which no controller touches."""
    def batch(first: int) -> None:
        pods = [{
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"p{n}", "namespace": "many", "labels": {"app": "many", "tier": "bench"}},
            "spec": {"nodeSelector": {"none": "none"}, "containers": [{
                "name": "c", "image": "registry.example.org/some/image:v1.2.3", "args": ["--some-flag=value", "--other=value"],
                "env": [{"name": "SOME_VARIABLE", "value": "some value"}], "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                "ports": [{"containerPort": 8080}],
            }]},
        } for n in range(first, min(first + 2000, count))]
        cluster.kubectl("create", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))

    cluster.kubectl("create", "namespace", "many")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(batch, range(0, count, 2000)))


def start(cluster: Plane, which: str, binary: Path, name: str) -> Process:
    """Starts a controller manager and waits until it has done its first work."""
    process = cluster.ours(binary, name) if which == "ours" else cluster.upstream(name)
    space = f"ready-{name}"
    cluster.kubectl("create", "namespace", space)
    wait_for("the controllers", lambda: cluster.kubectl("get", "serviceaccount", "-n", space, "default", check=False), 120)
    return process


def measure(which: str, binary: Path, times: int, pods: int) -> dict[str, float]:
    """All figures of one side, on a plane of its own."""
    with plane() as cluster:
        process = start(cluster, which, binary, which)
        time.sleep(5)  # what is done at the start is no idle cost
        cpu, rss = idle(process)
        runs = [rollout(cluster, process, f"d{n}") for n in range(times)]
        process.end()
        small = start(cluster, which, binary, f"{which}-before")
        time.sleep(10)
        base = usage(small.pid).rss_mib
        small.end()
        fill(cluster, pods)
        large = start(cluster, which, binary, f"{which}-after")
        time.sleep(20)
        grown = usage(large.pid).rss_mib
    return {
        "Deployment of 1,000: seconds to pods": statistics.median(s for s, _ in runs),
        "Deployment of 1,000: CPU seconds": statistics.median(c for _, c in runs),
        "idle: CPU ms a second": cpu,
        "idle: RSS MiB": rss,
        f"bytes a pod with {pods:,} pods": (grown - base) * 1048576 / pods,
        f"RSS MiB with {pods:,} pods": grown,
    }


def main() -> None:
    """Measures both and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--profile", default="release")
    arguments = parser.parse_args()
    binary = arguments.bin / "k3s-rs-controller"
    sides = {which: measure(which, binary, arguments.times, arguments.pods) for which in ("ours", "upstream")}
    lines = ["| | ours | kube-controller-manager | ratio |", "|---|---|---|---|"]
    for name, value in sides["ours"].items():
        other = sides["upstream"][name]
        lines.append(f"| {name} | {value:.2f} | {other:.2f} | {other / value if value else 0:.1f} |")
    table = "\n".join(lines)
    print(table)
    head = f"# Controllers\n\nProfile {arguments.profile}; 2 cores shared with other work, 24 GiB; real kube-apiserver and etcd on loopback; median of {arguments.times}.\n"
    RESULT.write_text(f"{head}\n{table}\n")


if __name__ == "__main__":
    main()
