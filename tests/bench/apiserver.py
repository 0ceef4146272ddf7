"""API servers: processor time per operation, ours on our datastore beside kube-apiserver on etcd.

    K3S_RS_BIN=DIR python3 tests/bench/apiserver.py      DIR has k3s-rs-apiserver and k3s-rs-datastore of the release profile
"""

from frame import Bench, Side, fan, load
from spine.plane import Plane

PROTOBUF = "application/vnd.kubernetes.protobuf"


def main() -> None:
    with Plane() as plane:
        sides = []
        for make in ("ours", "upstream"):
            store = plane.store(make)
            server = plane.apiserver(make, store)
            store.facts["label"], server.facts["label"] = ("datastore", "apiserver") if make == "ours" else ("etcd", "kube-apiserver")
            sides.append(Side(make, [server, store]))
        bench = Bench("apiserver", sides)
        first = {side.name: 0 for side in sides}

        def create(side: Side) -> dict:
            found = load(side.daemons[0], "create", n=5000 // 3 + 1, first=first[side.name])
            first[side.name] += 5000 // 3 + 1
            return found

        bench.turn("create a pod (8 clients)", create)
        operations = {
            "GET a pod": lambda side: load(side.daemons[0], "get", n=4000),
            "merge patch of a pod": lambda side: load(side.daemons[0], "patch", n=1500),
            "LIST 5,000 pods, JSON": lambda side: load(side.daemons[0], "list", n=20, clients=2),
            "LIST 5,000 pods, protobuf": lambda side: load(side.daemons[0], "list", n=20, clients=2, accept=PROTOBUF),
            "LIST 5,000 pods, JSON, one changed before each": lambda side: load(side.daemons[0], "churn", n=20, clients=1),
            "an event to one of 1,000 watchers of all": lambda side: fan(side, "watch", watchers=1000, n=20),
            "an event to its node's watcher of 5,000": lambda side: fan(side, "nodes", watchers=5000, n=500, clients=1),
        }
        for name, operation in operations.items():
            bench.turn(name, operation)
        for side in sides:
            standing = max(row["rss"] for row in side.rows["an event to its node's watcher of 5,000"])
            memory = ", ".join(f"{daemon.facts['label']} {daemon.rss() >> 10} MiB (peak {daemon.peak() >> 10})" for daemon in side.daemons)
            bench.lines.append(f"Resident at the end, {side.name}: {memory}; API server with 5,000 watchers standing {standing >> 10} MiB.")
        for name in operations:
            bench.profile(name, operations[name])
        bench.profile("create a pod", create)
        bench.write()


main()
