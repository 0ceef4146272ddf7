"""Nodes that fall silent: what upstream's node-lifecycle-controller makes of them, and what ours does.

    python3 -m tests.loops.node_health --bin DIR [--log DIR]

Each side has a plane of its own with the same nodes, which exist as objects only; their leases are renewed here. Both run at
the same time, about three minutes.
"""

import argparse
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .plane import Plane, Process, call, plane

CONTROLLER = "node-lifecycle-controller"
NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
ZONE = "topology.kubernetes.io/zone"
KINDS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
BEHIND = timedelta(hours=1)
"""How late the clock of one node is."""

Object = dict[str, Any]
ZONES = {"steady": "a", "late-clock": "a", "stopped": "a", "mute": "a", "alone": "b"}
"""`stopped` reported and has stopped before the controller starts, `mute` never says anything."""
PHASES = [
    ("one stopped, one mute", {"steady", "late-clock", "alone"}, 95),
    ("all fall silent", set(), 75),
    ("some are back", {"steady", "alone"}, 30),
]
"""Which nodes renew their leases, and for how many seconds."""
GONE = "stopped"
"""The node that is deleted in the end."""


def now(name: str) -> datetime:
    """A node's time."""
    return datetime.now(UTC) - (BEHIND if name == "late-clock" else timedelta())


def report(name: str) -> list[Object]:
    """The conditions of a node that is well."""
    said = now(name).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastHeartbeatTime": said, "lastTransitionTime": said}
    return [{"type": kind, "status": "True" if kind == "Ready" else "False", "reason": "r", "message": "m", **times} for kind in KINDS]


class World:
    """The objects of one side."""

    def __init__(self, cluster: Plane):
        self.cluster, self.alive, self.ended = cluster, set(PHASES[0][1]), threading.Event()
        self.connection = cluster.connect()

    def call(self, method: str, path: str, body: Object | None = None) -> Any:
        """A request as admin."""
        return call(self.connection, method, path, body)

    def make(self) -> None:
        """Makes the nodes, with a ready pod each."""
        for name, zone in ZONES.items():
            self.call("POST", NODES, {"metadata": {"name": name, "labels": {ZONE: zone, "kubernetes.io/os": "linux"}}})
            pod = self.call("POST", PODS, {"metadata": {"name": name}, "spec": {"nodeName": name, "containers": [{"name": "c", "image": "none"}]}})
            pod["status"] |= {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
            self.call("PUT", f"{PODS}/{name}/status", pod)
            if name != "mute":
                self.tell(name)
                self.call("POST", LEASES, {"metadata": {"name": name}, "spec": self.lease(name)})

    def tell(self, name: str) -> None:
        """Posts a node's status, as its kubelet would."""
        node = self.call("GET", f"{NODES}/{name}")
        node["status"]["conditions"] = report(name)
        self.call("PUT", f"{NODES}/{name}/status", node)

    def lease(self, name: str) -> Object:
        """What a node says in its lease."""
        return {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now(name).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}

    def renew(self) -> None:
        """Renews leases until the end."""
        connection = self.cluster.connect()
        while not self.ended.wait(5):
            for name in self.alive:
                lease = call(connection, "GET", f"{LEASES}/{name}")
                call(connection, "PUT", f"{LEASES}/{name}", lease | {"spec": self.lease(name)})

    def live(self) -> Object:
        """What is so at the end of each phase."""
        found = {}
        for title, alive, seconds in PHASES:
            for name in alive - self.alive:
                self.tell(name)
            self.alive = set(alive)
            time.sleep(seconds)  # the controller's own periods are what passes
            self.connection = self.cluster.connect()  # one that rests is closed
            found[title] = {name: self.outcome(name) for name in ZONES}
        found["one is deleted"] = {GONE: self.removal(GONE)}
        return found

    def removal(self, name: str) -> Object:
        """What was said of a node that is deleted, and of its pod."""
        self.call("DELETE", f"{NODES}/{name}")
        time.sleep(12)  # two looks at all nodes
        self.connection = self.cluster.connect()
        return {"conditions": {}, "taints": [], "events": self.events(name)}

    def outcome(self, name: str) -> Object:
        """A node's conditions and taints, whether its pod is ready, and what was said of both."""
        node, pod = self.call("GET", f"{NODES}/{name}"), self.call("GET", f"{PODS}/{name}")
        conditions = {c["type"]: [c["status"], c["reason"], c["message"]] for c in node["status"].get("conditions", [])}
        taints = sorted([t["key"], t["effect"], "timeAdded" in t] for t in node["spec"].get("taints", []))
        ready = next(c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready")
        return {"conditions": conditions, "taints": taints, "labels": node["metadata"]["labels"], "pod ready": ready, "events": self.events(name)}

    def events(self, name: str) -> list[list[object]]:
        """What was said of a node and its pod, each thing once: how often depends on when one looks."""
        items = self.call("GET", "/api/v1/events")["items"]
        about = [event for event in items if event["involvedObject"]["name"] == name]
        lines = [[e["involvedObject"]["kind"], e["type"], e["reason"], e["message"], e["source"]["component"]] for e in about]
        return sorted({tuple(line) for line in lines})


def by_chance(outcomes: Object) -> Object:
    """Without taints upstream gives by chance: when all fall silent, its queue may be quicker than its look at all nodes."""
    for outcome in (outcome for title in list(outcomes)[1:] for outcome in outcomes[title].values()):
        outcome["taints"] = [taint for taint in outcome["taints"] if taint[1] != "NoExecute"]
    return outcomes


def side(start: Callable[[Plane], Process], log: Path | None) -> Object:
    """Runs one controller in a world of its own."""
    with plane(log, audited=False) as cluster:
        world = World(cluster)
        world.make()
        renewing = threading.Thread(target=world.renew)
        renewing.start()
        try:
            start(cluster)
            return world.live()
        finally:
            world.ended.set()
            renewing.join()


def main() -> None:
    """Compares the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="the folder with k3s-rs-controller")
    parser.add_argument("--log", type=Path, help="where logs of a failed side go")
    arguments = parser.parse_args()
    starts = [
        lambda cluster: cluster.upstream("upstream", controllers=CONTROLLER),
        lambda cluster: cluster.ours(arguments.bin / "k3s-rs-controller", "ours", controllers=[CONTROLLER]),
    ]
    with ThreadPoolExecutor() as pool:
        theirs, ours = pool.map(lambda start: side(start, arguments.log), starts)
    theirs = by_chance(theirs)
    for title, nodes in theirs.items():
        for name, outcome in nodes.items():
            mine = ours[title][name]
            taints = ", ".join(f"{key.rsplit('/')[-1]}:{effect}" for key, effect, _ in outcome["taints"])
            ready = outcome["conditions"].get("Ready", ["gone"])[0]
            print(f"{'same' if mine == outcome else 'DIFFERS'}  {title}: {name}: {ready}, {taints or 'no taints'}")
            for part in (part for part in outcome if outcome[part] != mine[part]):
                print(f"  {part}\n    upstream {outcome[part]}\n    ours     {mine[part]}")
    assert ours == theirs, "see above"
    print(f"{len(ZONES)} nodes in {len(PHASES)} phases, equal in conditions, taints, labels, pods and events, those of a deletion too")


if __name__ == "__main__":
    main()
