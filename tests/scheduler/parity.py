"""The same pods to kube-scheduler and to ours, on random clusters: feasible nodes, scores and words compared.

    python3 -m tests.scheduler.parity --ours DIR/k3s-rs-scheduler [--clusters 5] [--pods 40] [--seed 1]

Both schedulers run against one API server, each for a scheduler name of its own. Every test pod is created for one, taken
away, and created for the other; what they logged about scores and wrote into its status must be equal.
"""

import argparse
import collections
import json
import os
import random
import re
import signal
import sys
import tempfile
from pathlib import Path

from tests.bench.scheduler import Api, Bench, free_port, quietly, settle, until

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
APPS = ["web", "db", "cache"]
IMAGES = [(f"registry.example/{name}:1", size) for name, size in [("small", 30 << 20), ("large", 900 << 20), ("huge", 3 << 30)]]
PODS = "/api/v1/namespaces/default/pods"


def node(chance: random.Random, i: int) -> dict:
    """A random node."""
    labels = {HOST: f"n{i}", "disk": chance.choice(["ssd", "hdd"]), "size": str(chance.randrange(1, 9))}
    if chance.random() < 0.8:
        labels[ZONE] = f"z{chance.randrange(3)}"
    taints = []
    for effect, likely in [("NoSchedule", 0.15), ("PreferNoSchedule", 0.3), ("NoExecute", 0.05)]:
        if chance.random() < likely:
            taints.append({"key": chance.choice(["team", "gpu"]), "value": chance.choice(["a", "b"]), "effect": effect})
    amounts = {"cpu": chance.choice(["2", "4", "3500m"]), "memory": chance.choice(["4Gi", "8Gi", "7000Mi"]), "pods": "12",
               "ephemeral-storage": "100Gi"}
    if chance.random() < 0.4:
        amounts["example.com/gpu"] = "4"
    images = [{"names": [name], "sizeBytes": size} for name, size in IMAGES if chance.random() < 0.4]
    spec = {"taints": taints} | ({"unschedulable": True} if chance.random() < 0.1 else {})
    status = {"capacity": amounts, "allocatable": amounts, "images": images}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{i}", "labels": labels}, "spec": spec, "status": status}


def term(chance: random.Random) -> dict:
    """A random pod affinity term."""
    return {"topologyKey": chance.choice([ZONE, HOST]), "labelSelector": {"matchLabels": {"app": chance.choice(APPS)}}}


def affinity(chance: random.Random, is_hard: float) -> dict:
    """Random affinity of a pod."""
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    weighted = lambda: [{"weight": chance.randrange(1, 101), "podAffinityTerm": term(chance)}]  # noqa: E731
    result: dict = {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if chance.random() < is_hard:
            result.setdefault(kind, {})[required] = [term(chance)]
        if chance.random() < 0.3:
            result.setdefault(kind, {})[preferred] = weighted()
    expression = {"key": chance.choice(["disk", "size"]), "operator": "In", "values": ["ssd", "3", "5"]}
    if chance.random() < 0.2:
        expression = {"key": "size", "operator": chance.choice(["Gt", "Lt"]), "values": ["4"]}
    if chance.random() < is_hard:
        result.setdefault("nodeAffinity", {})[required] = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    if chance.random() < 0.4:
        result.setdefault("nodeAffinity", {})[preferred] = [{"weight": chance.randrange(1, 101), "preference": {"matchExpressions": [expression]}}]
    return result


def pod(chance: random.Random, name: str, is_hard: float = 0.3) -> dict:
    """A random pod."""
    containers = []
    for i in range(chance.choice([1, 1, 2])):
        requests = {}
        if chance.random() < 0.7:
            requests["cpu"] = chance.choice(["100m", "250m", "1", "1500m"])
        if chance.random() < 0.6:
            requests["memory"] = chance.choice(["64Mi", "500Mi", "2Gi", "3000M"])
        if chance.random() < 0.15:
            requests["example.com/gpu"] = "1"
        limits = {k: v for k, v in requests.items() if "/" in k}
        ports = [{"containerPort": 80, "hostPort": chance.choice([80, 81])}] if chance.random() < 0.1 else []
        image = chance.choice(IMAGES)[0]
        containers.append({"name": f"c{i}", "image": image, "resources": {"requests": requests, "limits": limits}, "ports": ports})
    spec: dict = {"containers": containers, "terminationGracePeriodSeconds": 0, "affinity": affinity(chance, is_hard)}
    if chance.random() < 0.2:
        spec["initContainers"] = [{"name": "i", "image": "init", "resources": {"requests": {"cpu": chance.choice(["2", "50m"])}}}]
    if chance.random() < 0.2:
        spec["nodeSelector"] = {"disk": chance.choice(["ssd", "hdd"])}
    if chance.random() < 0.4:
        spec["tolerations"] = [{"key": chance.choice(["team", "gpu"]), "operator": chance.choice(["Exists", "Equal"])}]
        if spec["tolerations"][0]["operator"] == "Equal":
            spec["tolerations"][0]["value"] = "a"
    if chance.random() < 0.5:
        spec["topologySpreadConstraints"] = [
            {"maxSkew": chance.randrange(1, 4), "topologyKey": key, "labelSelector": {"matchLabels": {"app": chance.choice(APPS)}},
             "whenUnsatisfiable": "DoNotSchedule" if chance.random() < is_hard else "ScheduleAnyway",
             "nodeTaintsPolicy": chance.choice(["Honor", "Ignore"])}
            for key in chance.choice([[ZONE], [HOST], [ZONE, HOST]])
        ]
    metadata = {"name": name, "namespace": "default", "labels": {"app": chance.choice(APPS)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Pair:
    """Both schedulers at work."""

    def __init__(self, bench: Bench, api: Api):
        self.bench, self.api = bench, api
        config = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
                  "clientConnection": {"kubeconfig": str(bench.kubeconfig)}, "leaderElection": {"leaderElect": False},
                  "profiles": [{"schedulerName": "upstream"}]}
        (bench.folder / "upstream.json").write_text(json.dumps(config))
        upstream = [bench.bin / "kube-scheduler", f"--config={bench.folder}/upstream.json", f"--secure-port={free_port()}", "-v=10"]
        settings = {"kubeconfig": str(bench.kubeconfig), "bindAddress": f"127.0.0.1:{free_port()}",
                    "configuration": {"profiles": [{"schedulerName": "ours"}]}}
        (bench.folder / "ours.json").write_text(json.dumps(settings))
        os.environ["K3S_RS_LOG_LEVEL"] = "trace"
        self.running = [bench.start("upstream", upstream), bench.start("ours", [bench.ours, "--config", bench.folder / "ours.json"])]
        for process in self.running:
            settle(process)

    def stop(self) -> None:
        for process in self.running:
            self.bench.stop(process)

    def ask(self, which: str, wanted: dict) -> dict:
        """What a scheduler makes of a pod: the node or the words, and the scores."""
        name = wanted["metadata"]["name"] + "-" + which
        spec = wanted["spec"] | {"schedulerName": which}
        self.api.call("POST", PODS, wanted | {"metadata": wanted["metadata"] | {"name": name}, "spec": spec})
        seen: dict = {}

        def decided() -> bool:
            now = self.api.call("GET", f"{PODS}/{name}")
            condition = next((c for c in now["status"].get("conditions", []) if c["type"] == "PodScheduled"), {})
            seen.update(node=now["spec"].get("nodeName"), message=condition.get("message"))
            return bool(seen["node"] or seen["message"])

        until(f"{which} decides about {name}", decided, 60)
        self.api.call("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        until("pod gone", lambda: not quietly(lambda: self.api.call("GET", f"{PODS}/{name}")), 60)
        return seen | {"scores": self.scores(which, name)}

    def scores(self, which: str, name: str) -> dict:
        text = (self.bench.folder / f"{which}.log").read_text(errors="replace")
        if which == "upstream":
            found = re.findall(rf"final score for pod\" .*?pod=\"default/{name}\" node=\"(\w+)\" score=(-?\d+)", text)
        else:
            found = re.findall(rf"Scored node pod=default/{name} node=\"(\w+)\" total=(-?\d+)", text)
        return {node: int(score) for node, score in found}


def differences(ours: dict, theirs: dict) -> list:
    """In what two answers differ. Of equally good nodes any will do."""
    found = []
    if ours["scores"] != theirs["scores"]:
        found.append(f"scores {sorted(ours['scores'].items())} and {sorted(theirs['scores'].items())}")
    if ours["message"] != theirs["message"]:
        found.append(f"words {ours['message']!r} and {theirs['message']!r}")
    if bool(ours["node"]) != bool(theirs["node"]) or not ours["scores"] and ours["node"] != theirs["node"]:
        found.append(f"nodes {ours['node']} and {theirs['node']}")
    return found


def one_cluster(bench: Bench, api: Api, seed: int, pods: int) -> collections.Counter:
    """Asks both about pods on one random cluster."""
    chance = random.Random(seed)
    nodes = [node(chance, i) for i in range(14)]
    api.create("/api/v1/nodes", nodes)
    placed = [pod(chance, f"placed-{i}", 0.15) for i in range(30)]
    for one in placed:
        one["spec"]["nodeName"] = f"n{chance.randrange(14)}"
    api.create(PODS, placed)
    pair = Pair(bench, api)
    counts: collections.Counter = collections.Counter()
    for i in range(pods):
        wanted = pod(chance, f"s{seed}-{i}")
        ours, theirs = pair.ask("ours", wanted), pair.ask("upstream", wanted)
        kind = "one node" if theirs["node"] and not theirs["scores"] else "scored" if theirs["node"] else "refused"
        found = differences(ours, theirs)
        counts[kind] += 1
        counts[f"{kind}, different"] += bool(found)
        if found:
            print(f"seed {seed} pod {i}: " + "; ".join(found), json.dumps(wanted["spec"]), sep="\n  ", flush=True)
    pair.stop()
    api.call("DELETE", PODS, {"gracePeriodSeconds": 0})
    api.call("DELETE", "/api/v1/nodes")
    until("all gone", lambda: api.count(PODS) + api.count("/api/v1/nodes") == 0, 60)
    return counts


def main() -> int:
    """Runs the comparison; 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--clusters", type=int, default=5)
    parser.add_argument("--pods", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    total: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="parity-scheduler-") as folder:
        bench = Bench(Path(folder), arguments.ours.resolve())
        try:
            api = bench.serve()
            for seed in range(arguments.seed, arguments.seed + arguments.clusters):
                total += one_cluster(bench, api, seed, arguments.pods)
                print(f"after seed {seed}: {dict(total)}", flush=True)
        finally:
            for process in reversed(bench.started):
                process.kill()
                process.wait()
    return 1 if any("different" in kind for kind, n in total.items() if n) else 0


if __name__ == "__main__":
    sys.exit(main())
