"""Runs scenario files: Python as nixos-tests have it, the machines bound to their names.

Comments at the head of a file say what it needs:

    # machines: server agent      (default: machine)
    # backend: qemu               (default: nspawn)
    # needs: installation         machines with an installation of ours, as `xtask install --destdir` makes it
    # needs: cluster              a cluster of ours with DNS and a kubectl on its first machine: the installation's when --root names
    #                             one, else one of the parts in K3S_RS_BIN; K3S_RS_CLUSTER names a running one instead
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
        cluster = Cluster(os.environ[RUNNING])
        provide_kubectl(cluster, *(INSTALLED if cluster.state["layers"] else IN_MACHINE))
        play(scenario, cluster, dict(zip(scenario.machines, cluster.machines.values(), strict=True)))
        return
    installed = bool(root) and bool({"installation", "cluster"} & set(scenario.needs))
    layers = [root, product.upstream()] if root and installed else []
    chosen = parts.parse("all=none" if installed else scenario.parts or "all=none")
    cluster = Cluster.create(scenario.cluster, chosen, machines=scenario.machines, layers=layers, binaries=programs())
    try:
        machines = make(cluster, scenario, installed)
        play(scenario, cluster, machines)
    except BaseException:
        if keep:
            cluster.hand_over()
        else:
            cluster.down()
        raise
    cluster.down()


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
    if installed and "cluster" in scenario.needs:
        product.up(cluster, archive("basic"), lambda _: None)
        provide_kubectl(cluster, *INSTALLED)
        return dict(cluster.machines)
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
    passed, failed, skipped = 0, 0, 0
    for path in files or sorted(FOLDER.glob("*.py")):
        scenario = Scenario(path)
        reason = why_not(scenario, root, slow or bool(files))
        if reason:
            skipped += 1
            print(f"skipped: {path.stem}: {reason}", flush=True)
            continue
        begin = time.monotonic()
        print(f"{path.stem}", flush=True)
        try:
            run(scenario, root, keep)
        except Exception as error:  # noqa: BLE001 - one scenario's failure, of whatever kind, must not end the others
            failed += 1
            traceback.print_exception(error) if not isinstance(error, Failure) else print(f"  {error}")
            print(f"failed: {path.stem}, {time.monotonic() - begin:.0f} s", flush=True)
        else:
            passed += 1
            print(f"passed: {path.stem}, {time.monotonic() - begin:.0f} s", flush=True)
    sys.stdout.flush()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


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
