"""Pods that use tainted devices: what upstream's device-taint-eviction-controller does to them, and what ours does.

    python3 -m tests.loops.device_taints --bin DIR [--log DIR]

Each side has a plane of its own with the same objects, made by hand: a pool with one device, a claim and a pod per case.
"""

import argparse
import copy
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .plane import Plane, Process, call, plane, wait_for

CONTROLLER = "device-taint-eviction-controller"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
PODS = "/api/v1/namespaces/default/pods"
EVENTS = "/api/v1/namespaces/default/events"
LONG_AGO = "2026-01-01T00:00:00Z"
LATE_SECONDS = 3
"""How late an eviction may be."""

Object = dict[str, Any]


def bearing(seconds: int | None = None, **more: str) -> list[Object]:
    """A toleration, for ever or for some seconds."""
    return [{"operator": "Exists", "effect": "NoExecute", **more} | ({} if seconds is None else {"tolerationSeconds": seconds})]


@dataclass
class Case:
    """What is particular to a pod, its claim and its device."""

    effects: tuple[str, ...] = ("NoExecute",)
    tolerations: list[Object] = field(default_factory=list)
    node: str = "n1"
    status: Object = field(default_factory=dict)
    newer: tuple[str, ...] | None = None
    """The effects of the device's taints in the pool's next generation, if there is one."""
    template: str = ""
    """Whether the claim is made from a template, and for whom."""
    reserved: bool = True


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "Other", "message": "m", "lastTransitionTime": LONG_AGO}
CASES = {
    "untolerated": Case(),
    "tolerated": Case(tolerations=bearing()),
    "tolerated-by-value": Case(tolerations=[{"key": "example.org/ill", "operator": "Equal", "value": "v", "effect": "NoExecute"}]),
    "other-value": Case(tolerations=[{"key": "example.org/ill", "operator": "Equal", "value": "w", "effect": "NoExecute"}]),
    "other-key": Case(tolerations=bearing(key="example.org/well")),
    "effect-not-named": Case(tolerations=[{"operator": "Exists"}]),
    "five-seconds": Case(tolerations=bearing(5)),
    "five-seconds-and-ever": Case(tolerations=bearing(5) + bearing(key="example.org/ill")),
    "negative": Case(tolerations=bearing(-5)),
    "taint-goes": Case(tolerations=bearing(3600)),
    "slice-goes": Case(tolerations=bearing(3600)),
    "reservation-goes": Case(tolerations=bearing(3600)),
    "taint-comes": Case(effects=()),
    "older-generation": Case(newer=()),
    "newer-generation": Case(effects=(), newer=("NoExecute",)),
    "no-schedule": Case(effects=("NoSchedule",)),
    "no-effect": Case(effects=("None",)),
    "finished": Case(status={"phase": "Succeeded"}),
    "unscheduled": Case(node=""),
    "unreserved": Case(reserved=False),
    "template": Case(template="own"),
    "template-of-another": Case(template="another"),
    "disrupted": Case(status={"conditions": [DISRUPTED]}),
    "disrupted-once": Case(status={"conditions": [DISRUPTED | {"status": "False"}]}),
}
FIRST = "untolerated"
"""Made alone, so that the controller's caches are in before the others: upstream's, while they fill, may see a device
tainted that is not, and later tell its pod that its deletion is cancelled. So events count up to a restart only."""
RESTART = "restart"
RESTART_CASE = Case(tolerations=bearing(20))


def title(name: str, generation: int = 1) -> str:
    """What the slice of a pool's generation is called."""
    return f"{name}-{generation}"


class World:
    """The objects of one side, and what became of them."""

    def __init__(self, cluster: Plane, process: Process):
        self.cluster, self.process, self.connection = cluster, process, cluster.connect()

    def call(self, method: str, path: str, body: Object | None = None) -> Any:
        """A request as admin."""
        return call(self.connection, method, path, body)

    def slice(self, name: str, effects: tuple[str, ...], generation: int = 1) -> None:
        """Makes the slice of a pool, or changes its taints."""
        taints = [{"key": "example.org/ill", "value": "v", "effect": effect} for effect in effects]
        there = [item for item in self.call("GET", SLICES)["items"] if item["metadata"]["name"] == title(name, generation)]
        pool = {"name": name, "generation": generation, "resourceSliceCount": 1}
        spec = {"driver": "d.example.org", "pool": pool, "nodeName": "n1", "devices": [{"name": "gpu", "taints": taints}]}
        body = {"metadata": there[0]["metadata"] if there else {"name": title(name, generation)}, "spec": spec}
        self.call(*(("PUT", f"{SLICES}/{title(name, generation)}") if there else ("POST", SLICES)), body)

    def make(self, name: str, case: Case) -> None:
        """Makes the objects of a case: the older generation after the newer, so that it never counted; the reservation last."""
        if case.newer is not None:
            self.slice(name, case.newer, 2)
        self.slice(name, case.effects)
        pod = self.call("POST", PODS, self.pod(name, case))
        statuses = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": name}]} if case.template else {}
        pod["status"] |= copy.deepcopy(case.status) | statuses
        self.call("PUT", f"{PODS}/{name}/status", pod)
        uid = pod["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid if case.template == "own" else "1", "controller": True}
        meta = {"name": name} | ({"ownerReferences": [owner]} if case.template else {})
        request = {"name": "r", "exactly": {"deviceClassName": "gpus", "tolerations": case.tolerations}}
        claim = self.call("POST", CLAIMS, {"metadata": meta, "spec": {"devices": {"requests": [request]}}})
        result = {"request": "r", "driver": "d.example.org", "pool": name, "device": "gpu", "tolerations": case.tolerations}
        claim["status"] = {"allocation": {"devices": {"results": [result]}}}
        claim["status"] |= {"reservedFor": [{"resource": "pods", "name": name, "uid": uid}]} if case.reserved else {}
        self.call("PUT", f"{CLAIMS}/{name}/status", claim)

    def pod(self, name: str, case: Case) -> Object:
        """The pod of a case; its finalizer keeps it for a look."""
        source = {"resourceClaimTemplateName": "t"} if case.template else {"resourceClaimName": name}
        spec = {
            "containers": [{"name": "c", "image": "none", "resources": {"claims": [{"name": "gpu"}]}}],
            "resourceClaims": [{"name": "gpu", **source}], "terminationGracePeriodSeconds": 30,
        }
        return {"metadata": {"name": name, "finalizers": ["example.org/kept"]}, "spec": spec | ({"nodeName": case.node} if case.node else {})}

    def events(self, name: str) -> list[Object]:
        """A pod's events."""
        return [event for event in self.call("GET", EVENTS)["items"] if event["involvedObject"]["name"] == name]

    def said(self, name: str, message: str) -> None:
        """Waits until a pod has an event."""
        wait_for(f"{message!r} of {name}", lambda: any(event["message"] == message for event in self.events(name)))

    def evicted(self, name: str) -> None:
        """Waits until a pod was deleted, and that was said."""
        wait_for(f"the deletion of {name}", lambda: self.deleted(name))
        self.said(name, "Marking for deletion")

    def deleted(self, name: str) -> bool:
        """Whether a pod was deleted."""
        return "deletionTimestamp" in self.call("GET", f"{PODS}/{name}")["metadata"]

    def live(self) -> Object:
        """Makes everything; taints, slices and reservations come and go; what became of the pods then."""
        wait_for("the namespace", lambda: self.cluster.kubectl("get", "namespace", "default", check=False))
        self.call("POST", "/apis/resource.k8s.io/v1/deviceclasses", {"metadata": {"name": "gpus"}, "spec": {}})
        for name, case in CASES.items():
            self.make(name, case)
            if name == FIRST:
                self.evicted(name)
        self.evicted("five-seconds")
        assert not self.deleted("taint-comes")
        self.slice("taint-comes", ("NoExecute",))
        self.evicted("taint-comes")
        self.slice("taint-goes", ())
        self.call("DELETE", f"{SLICES}/{title('slice-goes')}")
        claim = self.call("GET", f"{CLAIMS}/reservation-goes")
        del claim["status"]["reservedFor"]
        self.call("PUT", f"{CLAIMS}/reservation-goes/status", claim)
        for name in ("taint-goes", "slice-goes", "reservation-goes"):
            self.said(name, "Cancelling deletion")
        return {name: self.outcome(name) for name in CASES}

    def restart(self, known: Object) -> Object:
        """Kills the controller while a pod is waited for; what became of that one, and of no other."""
        self.make(RESTART, RESTART_CASE)
        self.process.end(signal.SIGKILL)
        self.process.start()
        # whatever else is to be done after the start is done before this is due
        self.evicted(RESTART)
        again = {name: self.outcome(name)["requests"] for name in known}
        assert again == {name: outcome["requests"] for name, outcome in known.items()}, again
        return self.outcome(RESTART)

    def delay(self, name: str, seconds: int) -> float:
        """How much later than it had to be a pod was deleted."""
        meta = self.call("GET", f"{PODS}/{name}")["metadata"]
        slices = [item["spec"] for item in self.call("GET", SLICES)["items"]]
        since = next(s["devices"][0]["taints"][0]["timeAdded"] for s in slices if s["pool"]["name"] == name)
        end = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp() - meta["deletionGracePeriodSeconds"]
        return end - datetime.fromisoformat(since).timestamp() - seconds

    def outcome(self, name: str) -> Object:
        """What became of a pod, without what is never the same twice."""
        pod = self.call("GET", f"{PODS}/{name}")
        meta, conditions = pod["metadata"], pod["status"].get("conditions", [])
        for condition in conditions:
            condition["lastTransitionTime"] = "kept" if condition.get("lastTransitionTime") == LONG_AGO else "new"
        return {
            "deleted": "deletionTimestamp" in meta, "grace": meta.get("deletionGracePeriodSeconds"),
            "conditions": [c for c in conditions if c["type"] == "DisruptionTarget"],
            "events": sorted(map(told, self.events(name)), key=str),
            "requests": [asked(event, meta["uid"]) for event in self.cluster.audit() if is_of(event["objectRef"], name)],
        }


def told(event: Object) -> Object:
    """What an event says."""
    about = {key: value for key, value in event["involvedObject"].items() if key != "uid"}
    return {key: event.get(key) for key in ("type", "reason", "message", "count", "source", "reportingComponent")} | {"about": about}


def is_of(where: Any, name: str) -> bool:
    """Whether a request is about a case's pod."""
    return where["resource"] == "pods" and where["name"] == name


def asked(event: Object, uid: str) -> list[object]:
    """What a request is, and whether it holds for this very pod only."""
    body = event["requestObject"]
    guard = body.get("preconditions", {}) if event["verb"] == "delete" else body["metadata"]
    return [event["verb"], event["objectRef"].get("subresource", ""), guard == {"uid": uid}]


def side(start: Callable[[Plane], Process], log: Path | None) -> Object:
    """Runs one controller in a world of its own."""
    with plane(log) as cluster:
        world = World(cluster, start(cluster))
        outcomes = world.live()
        outcomes[RESTART] = world.restart(outcomes)
        for name, seconds in {"five-seconds": 5, RESTART: 20}.items():
            late = world.delay(name, seconds)
            print(f"{world.process.name}: {name} went {late:.0f} s later than it had to")
            assert 0 <= late <= LATE_SECONDS
        return outcomes


def main() -> None:
    """Compares the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="the folder with k3s-rs-controller")
    parser.add_argument("--log", type=Path, help="where logs of a failed side go")
    arguments = parser.parse_args()
    theirs = side(lambda cluster: cluster.upstream("upstream", controllers=CONTROLLER), arguments.log)
    ours = side(lambda cluster: cluster.ours(arguments.bin / "k3s-rs-controller", "ours", controllers=[CONTROLLER]), arguments.log)
    for name, outcome in theirs.items():
        said = ", ".join(event["message"] for event in outcome["events"])
        print(f"{'same' if ours[name] == outcome else 'DIFFERS'}  {name}: {'deleted' if outcome['deleted'] else 'stays'} ({said})")
        if ours[name] != outcome:
            print(f"  upstream {outcome}\n  ours     {ours[name]}")
    assert ours == theirs, "see above"
    print(f"{len(theirs)} pods, equal in deletion, condition, events and requests")


if __name__ == "__main__":
    main()
