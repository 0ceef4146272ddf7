"""The controllers beside upstream's: a Deployment of 1,000 replicas to created pods, idle cost, cache bytes a pod.

    python3 tests/bench/controller.py --bin DIR [--times 3] [--pods 100000]

Run from the root of the repository. Both work in turn for one real kube-apiserver, upstream's without limits on its requests.
Nobody runs the pods: they are counted when they exist. What the API server itself needs for a thousand pods is measured too,
by as many connections as keep it busy: nothing can be faster than that. The same Deployment on our own API server and
datastore stands beside upstream's three.
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path

sys.path.insert(0, ".")

from tests.loops.faults import deployment  # noqa: E402
from tests.loops.plane import Plane, Process, call, plane, usage, wait_for  # noqa: E402

REPLICAS = 1000
IDLE_SECONDS = 30
CONNECTIONS = 8
PODS = "/api/v1/namespaces/default/pods"
RESULT = Path("tests/bench/results/controller.md")


def rollout(cluster: Plane, process: Process, name: str) -> dict[str, float]:
    """Seconds, and CPU seconds of the controllers and of the API server, from a Deployment to its pods."""
    connection = cluster.connect()
    before, api, start = usage(process.pid), usage(cluster.apiserver.pid), time.monotonic()
    call(connection, "POST", "/apis/apps/v1/namespaces/default/deployments", deployment(name, REPLICAS))
    until_created(connection, start)
    seconds = time.monotonic() - start
    settle(process)
    used = usage(process.pid).cpu_seconds - before.cpu_seconds
    return {"seconds": seconds, "cpu": used, "api": usage(cluster.apiserver.pid).cpu_seconds - api.cpu_seconds}


def created(connection: HTTPSConnection) -> int:
    """How many pods there are."""
    # with resourceVersion=0 the answer is the whole list, and to read it what takes longest
    found = call(connection, "GET", f"{PODS}?limit=1")
    return len(found["items"]) + found["metadata"].get("remainingItemCount", 0)


def until_created(connection: HTTPSConnection, start: float) -> None:
    """Waits until all pods of a Deployment exist.

    To look costs the machine as much as some of the pods, and a look that comes late is measured as well: so the next one comes
    when half of what is missing should be there.
    """
    while (there := created(connection)) < REPLICAS:
        passed = time.monotonic() - start
        if passed > 300:
            raise TimeoutError("all pods")
        time.sleep(min(max(passed * (REPLICAS - there) / max(there, 10) / 2, 0.004), 0.1))


def settle(process: Process) -> None:
    """Waits until a process uses next to no processor time."""
    last, calm = usage(process.pid).cpu_seconds, 0
    while calm < 12:  # on a busy machine a first list may take seconds
        time.sleep(0.5)
        now = usage(process.pid).cpu_seconds
        calm = calm + 1 if now - last < 0.05 and now > 0 else 0
        last = now


def idle(process: Process) -> tuple[float, float]:
    """CPU milliseconds a second and MiB of a controller with nothing to do."""
    before = usage(process.pid)
    time.sleep(IDLE_SECONDS)
    after = usage(process.pid)
    return (after.cpu_seconds - before.cpu_seconds) * 1000 / IDLE_SECONDS, after.rss_mib


def create(cluster: Plane, path: str, pods: list[dict]) -> float:
    """Creates pods over several connections; how long that took."""
    def some(part: list[dict]) -> None:
        connection = cluster.connect()
        for pod in part:
            call(connection, "POST", path, pod)

    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(some, [pods[n::CONNECTIONS] for n in range(CONNECTIONS)]))
    return time.monotonic() - start


def floor(cluster: Plane) -> tuple[float, float]:
    """Seconds and CPU seconds the API server needs for the same pods without any controller."""
    template = deployment("floor", 1)["spec"]["template"]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": f"floor-{n}"}, "spec": template["spec"]} for n in range(REPLICAS)]
    before = usage(cluster.apiserver.pid)
    seconds = create(cluster, PODS, pods)
    used = usage(cluster.apiserver.pid).cpu_seconds - before.cpu_seconds
    clear(cluster)
    return seconds, used


def clear(cluster: Plane) -> None:
    """Removes Deployments, sets and pods while no controller runs."""
    connection, now = cluster.connect(), {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    for path in ("/apis/apps/v1/namespaces/default/deployments", "/apis/apps/v1/namespaces/default/replicasets", PODS):
        call(connection, "DELETE", path, now)
    call(connection, "DELETE", "/api/v1/namespaces/default/events")
    wait_for("no pods", lambda: not call(connection, "GET", f"{PODS}?limit=1")["items"], 120)


def fill(cluster: Plane, count: int) -> None:
    """Creates pods without an owner that go nowhere, which no controller touches."""
    cluster.kubectl("create", "namespace", "many")
    create(cluster, "/api/v1/namespaces/many/pods", [{
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"p{n}", "labels": {"app": "many", "tier": "bench"}},
        "spec": {"nodeSelector": {"none": "none"}, "containers": [{
            "name": "c", "image": "registry.example.org/some/image:v1.2.3", "args": ["--some-flag=value", "--other=value"],
            "env": [{"name": "SOME_VARIABLE", "value": "some value"}], "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "ports": [{"containerPort": 8080}],
        }]},
    } for n in range(count)])


def start(cluster: Plane, which: str, binary: Path, name: str) -> Process:
    """Starts a controller manager and waits until it has done its first work."""
    process = cluster.ours(binary, name) if which == "ours" else cluster.upstream(name)
    space = f"ready-{name}"
    cluster.kubectl("create", "namespace", space)
    wait_for("the controllers", lambda: cluster.kubectl("get", "serviceaccount", "-n", space, "default", check=False), 300)
    settle(process)
    return process


def measure(cluster: Plane, binary: Path, times: int, pods: int) -> tuple[dict[str, dict[str, float]], list[tuple[float, float]]]:
    """All figures of both sides, and the floor."""
    sides: dict[str, dict[str, float]] = {"ours": {}, "upstream": {}}
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "upstream": []}
    floors = [floor(cluster)]
    for number in range(times):
        for which, figures in sides.items():
            process = start(cluster, which, binary, f"{which}{number}")
            if number == 0:
                figures["idle: CPU ms a second"], figures["idle: RSS MiB"] = idle(process)
            runs[which].append(rollout(cluster, process, f"d{number}"))
            print(which, runs[which][-1], flush=True)
            process.end()
            clear(cluster)
        floors.append(floor(cluster))
    for which, figures in sides.items():
        for key, label in (("seconds", "seconds to pods"), ("cpu", "CPU seconds"), ("api", "CPU seconds of kube-apiserver")):
            figures[f"Deployment of {REPLICAS:,}: {label}"] = statistics.median(run[key] for run in runs[which])
    if pods:
        fill(cluster, pods)
        for which, figures in sides.items():
            large = start(cluster, which, binary, f"{which}-after")
            grown = usage(large.pid).rss_mib
            large.end()
            figures[f"RSS MiB with {pods:,} pods"] = grown
            figures[f"bytes a pod with {pods:,} pods"] = (grown - figures["idle: RSS MiB"]) * 1048576 / pods
    return sides, floors


def whole(folder: Path, times: int) -> dict[str, float]:
    """Seconds and CPU seconds of the same Deployment where API server and datastore are ours too."""
    runs = []
    with plane(audited=False, own=folder) as cluster:
        for number in range(times):
            process = start(cluster, "ours", folder / "k3s-rs-controller", f"whole{number}")
            stored = usage(cluster.store.pid).cpu_seconds
            runs.append(rollout(cluster, process, f"d{number}"))
            runs[-1]["store"] = usage(cluster.store.pid).cpu_seconds - stored
            print("whole", runs[-1], flush=True)
            process.end()
            clear(cluster)
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    """Measures both and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--pods", type=int, default=100_000, help="0 leaves the question of memory out")
    parser.add_argument("--profile", default="release")
    parser.add_argument("--write", action="store_true", help="write the table to tests/bench/results")
    arguments = parser.parse_args()
    with plane(audited=False) as cluster:
        sides, floors = measure(cluster, arguments.bin / "k3s-rs-controller", arguments.times, arguments.pods)
    lines = ["| | ours | kube-controller-manager | ratio |", "|---|---|---|---|"]
    for name, value in sides["ours"].items():
        other = sides["upstream"][name]
        lines.append(f"| {name} | {value:.2f} | {other:.2f} | {other / value if value else 0:.1f} |")
    if (arguments.bin / "k3s-rs-apiserver").exists():
        own, other = whole(arguments.bin, arguments.times), sides["upstream"][f"Deployment of {REPLICAS:,}: seconds to pods"]
        lines += ["", f"On our API server and datastore: {own['seconds']:.2f} s ({other / own['seconds']:.1f} times as fast as upstream's on its own); CPU seconds: controllers {own['cpu']:.2f}, API server {own['api']:.2f}, datastore {own['store']:.2f}."]
    seconds, used = (statistics.median(column) for column in zip(*floors, strict=True))
    lines += ["", f"The same {REPLICAS:,} pods created by {CONNECTIONS} connections and no controller: {seconds:.2f} s, {used:.2f} CPU seconds of kube-apiserver."]
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        load = os.getloadavg()[0]
        head = f"# Controllers\n\nProfile {arguments.profile}; 2 cores, 24 GiB, load average {load:.0f} at the end; one kube-apiserver and etcd on loopback for both; medians of {arguments.times}.\n"
        RESULT.write_text(f"{head}\n{table}\n")


if __name__ == "__main__":
    main()
