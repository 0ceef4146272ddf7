"""Runs scenario files: Python as nixos-tests have it, the machines bound to their names.

Comments at the head of a file say what it needs:

    # machines: server agent      (default: machine)
    # backend: qemu               (default: nspawn)
    # needs: installation         machines with an installation of ours, as `xtask install --destdir` makes it
    # needs: cluster              a cluster of ours with DNS and a kubectl on its first machine: the installation's when --root names
    #                             one (server and agent, shared by all such scenarios: each leaves it as it was), else one of the
    #                             parts in K3S_RS_BIN; K3S_RS_CLUSTER names a running one instead
    # parts: all=upstream,kubelet=ours   a cluster of these parts, its nodes ready; K3S_RS_BIN names the folder of our programs
    # slow                        only run when asked for
"""

import contextlib
import os
import re
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import parts, paths, product
from .cluster import Cluster
from .machine import Machine
from .qemu import QemuMachine
from .shell import Failure

FOLDER = paths.HERE.parent / "scenarios"
OURS = "all=ours"
RUNNING = "K3S_RS_CLUSTER"
NAME = "scenarios"
INSTALLED = ("/usr/bin/kubectl", product.KUBECONFIG)
IN_MACHINE = ("/opt/upstream/bin/kubectl", "/cluster/pki/admin.conf")


class Scenario:
    """One file and what its head asks for."""

    def __init__(self, path: Path):
        self.path = path
        head = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
        words = dict(line.split(":", 1) for line in head if ":" in line)
        self.machines = words.get("machines", "machine").split()
        self.backend = words.get("backend", "nspawn").strip()
        self.needs = words.get("needs", "").split()
        self.parts = words.get("parts", OURS if "cluster" in self.needs else "").strip()
        self.slow = "slow" in head

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return "s" + re.sub(r"[^a-z0-9]", "", self.path.stem.lower())[:19]


@contextlib.contextmanager
def subtest(name: str) -> Iterator[None]:
    """A named step: the failure of a scenario says in which it was."""
    begin = time.monotonic()
    print(f"  {name} … ", end="", flush=True)
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - begin:.1f} s", flush=True)


def play(scenario: Scenario, cluster: Cluster, machines: dict[str, Machine]) -> None:
    """Runs the file with everything a nixos-test script finds."""

    def start_all() -> None:
        for machine in machines.values():
            machine.start()

    names: dict[str, Any] = {**machines, "machines": list(machines.values()), "start_all": start_all, "subtest": subtest}
    names["t"] = unittest.TestCase()
    if scenario.parts:
        names |= {"cluster": cluster, "kubectl": cluster.kubectl}
    exec(compile(scenario.path.read_text(), str(scenario.path), "exec"), names)  # noqa: S102


def run(scenario: Scenario, root: Path | None, keep: bool) -> None:
    """Makes the machines, plays, removes them, whatever happens."""
    if "cluster" in scenario.needs and os.environ.get(RUNNING):
        visit(scenario, Cluster(os.environ[RUNNING]))
        return
    installed = bool(root) and bool({"installation", "cluster"} & set(scenario.needs))
    layers = [root, product.upstream()] if root and installed else []
    chosen = parts.parse("all=none" if installed else scenario.parts or "all=none")
    cluster = Cluster.create(scenario.cluster, chosen, machines=scenario.machines, layers=layers, binaries=programs())
    try:
        machines = make(cluster, scenario, installed)
        play(scenario, cluster, machines)
    except BaseException as error:
        if installed and isinstance(error, Failure):
            print(product.look(cluster), flush=True)
        if keep:
            cluster.hand_over()
        else:
            cluster.down()
        raise
    cluster.down()


def visit(scenario: Scenario, cluster: Cluster) -> None:
    """Plays on a cluster that runs already; it may have machines the scenario does not know of."""
    provide_kubectl(cluster, *(INSTALLED if cluster.state["layers"] else IN_MACHINE))
    names = zip(scenario.machines, cluster.machines.values(), strict=False)
    play(scenario, cluster, dict(names))


class Shared:
    """The one installed cluster that all scenarios that want a cluster play on, one after another; made when the first comes."""

    def __init__(self, root: Path | None, keep: bool):
        self.root, self.keep = root, keep
        self.cluster: Cluster | None = None
        self._made = 0

    def takes(self, scenario: Scenario) -> bool:
        """Whether a scenario is played here."""
        return self.root is not None and "cluster" in scenario.needs and not os.environ.get(RUNNING)

    def run(self, scenario: Scenario) -> None:
        """Plays; a failure may leave anything behind, so the next scenario gets a new cluster."""
        try:
            visit(scenario, self.cluster or self._make())
        except BaseException as error:
            if self.cluster and isinstance(error, Failure):
                print(product.look(self.cluster), flush=True)
            if self.cluster and self.keep:
                self.cluster.hand_over()
                self.cluster = None
            self.close()
            raise

    def _make(self) -> Cluster:
        layers = [self.root, product.upstream()] if self.root else []
        self._made += 1
        self.cluster = Cluster.create(f"{NAME}{self._made}", parts.parse("all=none"), machines=["server", "agent"], layers=layers)
        begin = time.monotonic()
        product.up(self.cluster, archive("basic"), lambda text: print(f"  the cluster: {time.monotonic() - begin:.1f} s  {text}", flush=True))
        return self.cluster

    def close(self) -> None:
        """Removes the cluster, if there is one."""
        if self.cluster:
            self.cluster.down()
            self.cluster = None


def programs() -> Path | None:
    """The folder of our programs, for scenarios that bring up a cluster with some of them."""
    folder = os.environ.get("K3S_RS_BIN")
    return Path(folder) if folder else None


def provide_kubectl(cluster: Cluster, program: str, kubeconfig: str) -> None:
    """The first machine's shell has a kubectl that is the administrator's, as on a nixos-test machine."""
    first = cluster.machines[cluster.nodes[0].name]
    link = f"test -x /usr/bin/kubectl || ln -sf {program} /usr/local/bin/kubectl"
    first.succeed(f"{link}; mkdir -p /root/.kube; ln -sf {kubeconfig} /root/.kube/config")


def archive(kind: str) -> Path:
    """An archive of images."""
    sys.path.insert(0, str(paths.CONFORMANCE))
    import images  # noqa: PLC0415

    return images.ensure(kind)


def make(cluster: Cluster, scenario: Scenario, installed: bool) -> dict[str, Machine]:
    """The machines; nspawn ones are booted, QEMU ones start when the scenario says so."""
    if scenario.backend == "qemu":
        network = cluster.network
        network.up([])
        at = [(node, network.switch, node.address, network.gateway, f"port{node.index}") for node in cluster.nodes]
        return {node.name: QemuMachine(node.name, cluster.folder / node.name, *rest) for node, *rest in at}
    if scenario.parts:
        cluster.up(archive("conformance"), "dns" if "cluster" in scenario.needs else "nodes")
        provide_kubectl(cluster, *IN_MACHINE)
        return dict(cluster.machines)
    (cluster.folder / "share").mkdir(exist_ok=True)
    cluster.boot_all()
    if "installation" in scenario.needs:
        # images of a registry there is none of, and programs of parts that are not ours yet
        for node in cluster.nodes:
            product.prepare(cluster, node.name, archive("basic"))
    return dict(cluster.machines)


def main(files: list[Path], root: Path | None, slow: bool, keep: bool) -> int:
    """Runs the given files, or all; prints one line each and the count."""
    chosen = [Scenario(path) for path in files or sorted(FOLDER.glob("*.py"))]
    reasons = [(scenario, why_not(scenario, root, slow or bool(files))) for scenario in chosen]
    for scenario, reason in reasons:
        if reason:
            print(f"skipped: {scenario.path.stem}: {reason}", flush=True)
    # those that share a cluster one after another, so that it is gone when the others make theirs
    wanted = sorted((scenario for scenario, reason in reasons if not reason), key=lambda scenario: "cluster" not in scenario.needs)
    with contextlib.closing(Shared(root, keep)) as shared:
        passed = [one(scenario, f"{number} of {len(wanted)}", shared) for number, scenario in enumerate(wanted, 1)].count(True)
    sys.stdout.flush()
    failed = len(wanted) - passed
    print(f"{passed} passed, {failed} failed, {len(chosen) - len(wanted)} skipped")
    return 1 if failed else 0


def one(scenario: Scenario, place: str, shared: Shared) -> bool:
    """Runs a scenario and says how it went."""
    begin = time.monotonic()
    print(f"{scenario.path.stem} ({place})", flush=True)
    try:
        if shared.takes(scenario):
            shared.run(scenario)
        else:
            shared.close()
            run(scenario, shared.root, shared.keep)
    except Exception as error:  # noqa: BLE001 - one scenario's failure, of whatever kind, must not end the others
        traceback.print_exception(error) if not isinstance(error, Failure) else print(f"  {error}")
        print(f"failed: {scenario.path.stem}, {time.monotonic() - begin:.0f} s", flush=True)
        return False
    print(f"passed: {scenario.path.stem}, {time.monotonic() - begin:.0f} s", flush=True)
    return True


def why_not(scenario: Scenario, root: Path | None, slow: bool) -> str:
    """Why a scenario cannot run now; empty if it can."""
    if scenario.slow and not slow:
        return "slow"
    if "installation" in scenario.needs and root is None:
        return "needs an installation (--root, from `xtask install --destdir`)"
    given = programs() or ("cluster" in scenario.needs and (root or os.environ.get(RUNNING)))
    if scenario.parts and not given and "ours" in scenario.parts:
        return "needs our programs (K3S_RS_BIN)"
    return QemuMachine.missing() if scenario.backend == "qemu" else ""
