"""Controllers of ours under faults, judged from the real kube-apiserver's audit log.

    python3 -m tests.loops.faults --bin DIR [--log DIR] [leader] [away] [expired]
"""

import argparse
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .plane import Plane, Process, plane, wait_for

DEPLOYMENTS, REPLICAS = 20, 40
LEASE_SECONDS = 15
AWAY_SECONDS = 120


def deployment(name: str, replicas: int) -> dict[str, object]:
    """A Deployment whose pods nobody runs."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def create(cluster: Plane, prefix: str) -> None:
    """Creates all Deployments in one request sequence."""
    items = [deployment(f"{prefix}{n}", REPLICAS) for n in range(DEPLOYMENTS)]
    cluster.kubectl("create", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def once(cluster: Plane, prefix: str) -> None:
    """Every set was created once, every pod was created once, and none was created too many and deleted again."""
    sets: Counter[str] = Counter()
    pods: Counter[str] = Counter()
    deleted = 0
    for event in cluster.audit():
        where = event["objectRef"]
        verb, resource = event["verb"], where["resource"]
        if verb == "create" and resource == "replicasets":
            sets[event["requestObject"]["metadata"]["ownerReferences"][0]["name"]] += 1
        elif verb == "create" and resource == "pods" and not where.get("subresource"):
            pods[event["requestObject"]["metadata"]["labels"]["app"]] += 1
        elif verb == "delete" and resource == "pods":
            deleted += 1
    names = [f"{prefix}{n}" for n in range(DEPLOYMENTS)]
    there = Counter(cluster.kubectl("get", "pods", "-A", "-o", 'jsonpath={range .items[*]}{.metadata.labels.app}{"\\n"}{end}').split())
    # a request whose sender was killed may be carried out and still not be logged as a success: hence "at most"
    wrong = {name: (sets[name], pods[name], there[name]) for name in names if sets[name] > 1 or pods[name] > REPLICAS or there[name] != REPLICAS}
    assert not wrong, f"(sets created, pods created, pods there): {wrong}"
    assert cluster.count("replicasets", "-l", f"app in ({','.join(names)})") == DEPLOYMENTS
    assert not deleted, f"{deleted} pods were deleted"


def holder(cluster: Plane) -> str:
    """Who holds the lease."""
    path = "jsonpath={.spec.holderIdentity}"
    return cluster.kubectl("get", "lease", "-n", "kube-system", "kube-controller-manager", "-o", path, check=False)


def leader(cluster: Plane, binary: Path) -> None:
    """Two with leader election; the leader is killed in the middle of its work."""
    both = [cluster.ours(binary, f"ours{n}", leaderElect=True) for n in (1, 2)]
    wait_for("a leader", lambda: holder(cluster))
    first = next(p for p in both if holder(cluster).endswith(f"_{p.pid}"))
    wait_for("default account", lambda: cluster.count("serviceaccounts") >= 3)
    create(cluster, "a")
    wait_for("half of the pods", lambda: cluster.count("pods") >= DEPLOYMENTS * REPLICAS // 4)
    first.end(signal.SIGKILL)
    done, killed = cluster.count("pods"), time.monotonic()
    assert done < DEPLOYMENTS * REPLICAS, "the leader was killed too late to matter"
    wait_for("another leader", lambda: not holder(cluster).endswith(f"_{first.pid}"), LEASE_SECONDS + 10)
    takeover = time.monotonic() - killed
    wait_for("all pods", lambda: cluster.count("pods") == DEPLOYMENTS * REPLICAS)
    once(cluster, "a")
    print(f"leader: killed after {done} of {DEPLOYMENTS * REPLICAS} pods, another led after {takeover:.1f} s, nothing twice")


def expired_watches(process: Process) -> int:
    """How many watches were told that their revision is gone."""
    return process.log.read_text(errors="replace").count("Watch expired")


def away(cluster: Plane, binary: Path) -> None:
    """The API server goes away in the middle of the work, for two minutes."""
    cluster.ours(binary, "ours")
    wait_for("default account", lambda: cluster.count("serviceaccounts") >= 3)
    create(cluster, "b")
    wait_for("some pods", lambda: cluster.count("pods") >= DEPLOYMENTS * REPLICAS // 4)
    cluster.apiserver.end(signal.SIGKILL)
    time.sleep(AWAY_SECONDS)
    cluster.apiserver.start()
    cluster.wait_ready()
    seconds = wait_for("all pods", lambda: cluster.count("pods") == DEPLOYMENTS * REPLICAS, 120)
    once(cluster, "b")
    print(f"away: the API server was gone {AWAY_SECONDS} s; all pods were there {seconds:.1f} s after it was back, nothing twice")


def expired(cluster: Plane, binary: Path) -> None:
    """Every watch is told 410 at once: the API server restarts and its store has forgotten the past."""
    process = cluster.ours(binary, "ours")
    wait_for("default account", lambda: cluster.count("serviceaccounts") >= 3)
    create(cluster, "c")
    wait_for("all pods", lambda: cluster.count("pods") == DEPLOYMENTS * REPLICAS)
    process.send(signal.SIGSTOP)
    cluster.apiserver.end()
    cluster.apiserver.start()
    cluster.wait_ready()
    create(cluster, "d")  # while nobody watches
    etcdctl = [str(cluster.bin / "etcdctl"), f"--endpoints=http://127.0.0.1:{cluster.etcd_port}"]
    cluster.run("compact", ["/bin/sh", "-euc", f"{' '.join(etcdctl)} compact $({' '.join(etcdctl)} get x -w json | sed 's/.*\"revision\":\\([0-9]*\\).*/\\1/')"])
    process.send(signal.SIGCONT)
    seconds = wait_for("all pods", lambda: cluster.count("pods") == 2 * DEPLOYMENTS * REPLICAS, 120)
    once(cluster, "c")
    once(cluster, "d")
    print(f"expired: {expired_watches(process)} watches got 410; all pods were there {seconds:.1f} s later, nothing twice")


CASES: dict[str, Callable[[Plane, Path], None]] = {"leader": leader, "away": away, "expired": expired}


def main() -> None:
    """Runs the cases asked for, each on a plane of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="the folder with k3s-rs-controller")
    parser.add_argument("--log", type=Path, help="where logs of a failed case go")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    arguments = parser.parse_args()
    for name in arguments.cases or CASES:
        with plane(arguments.log) as cluster:
            CASES[name](cluster, arguments.bin / "k3s-rs-controller")


if __name__ == "__main__":
    main()
