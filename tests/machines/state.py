"""What is known of each running cluster, who owns it, and how everything of a cluster is removed.

A cluster belongs to the process that made it until that process hands it over (`cluster up` does, when it is ready).
If its owner is gone the cluster is a leftover: the next run, or `cluster clean`, removes it by its names alone.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import cgroups, network, paths
from .nspawn import start_time
from .shell import Failure, wait_until

PREFIX = "k3s-rs-"
NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
NUMBERS = 120


def prefix(name: str) -> str:
    """What the names of a cluster's groups, namespaces and machines begin with."""
    return f"{PREFIX}{name}-"


def folder(name: str) -> Path:
    """A cluster's folder."""
    if not NAME.fullmatch(name):
        raise Failure(f"{name!r} is no cluster name: lower case letters and digits, a letter first, at most 20")
    return paths.clusters() / name


def load(name: str) -> dict[str, Any]:
    """The state of a cluster; empty if there is none."""
    with contextlib.suppress(FileNotFoundError):
        return json.loads((folder(name) / "state.json").read_text())
    return {}


def save(name: str, value: dict[str, Any]) -> None:
    """Replaces the state file whole."""
    path = folder(name) / "state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1))
    partial.rename(path)


def names() -> list[str]:
    """All clusters that have a folder."""
    known = paths.clusters()
    return sorted(path.name for path in known.iterdir() if NAME.fullmatch(path.name)) if known.is_dir() else []


def myself() -> dict[str, int]:
    """This process as an owner."""
    return {"pid": os.getpid(), "start": start_time(os.getpid()) or 0}


def reserve(name: str, **facts: Any) -> dict[str, Any]:
    """Takes the name and the lowest free number for this process."""
    if folder(name).exists() and not load(name):
        remove(name)  # another process is about to finish that
    with paths.locked("clusters"):
        if load(name):
            raise Failure(f"cluster {name} is up already (`cluster down {name}` ends it)")
        taken = {load(other).get("number") for other in names()}
        number = next(candidate for candidate in range(NUMBERS) if candidate not in taken)
        taken_by = {what: found for what, found in remains(name).items() if found}
        if taken_by:
            raise Failure(f"the name {name} is taken on this host by what {paths.cache()} does not know of (another K3S_RS_CACHE, or what a "
                          f"dead run left): {taken_by}\nTake another name (--name), or end it there: cluster down {name}")
        value = {"number": number, "owner": myself(), **facts}
        save(name, value)
    return value


def watch_owner(name: str) -> None:
    """Starts a janitor: a process of its own that removes the cluster at once if this one dies without handing it over."""
    with open(folder(name) / "janitor.log", "wb") as log:
        command = [sys.executable, "-m", "machines.janitor", name, str(os.getpid())]
        subprocess.Popen(command, cwd=paths.HERE.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def is_leftover(name: str) -> bool:
    """Whether the cluster's owner died before it removed it or handed it over."""
    value = load(name)
    if not value:
        return True
    owner = value["owner"]
    return owner is not None and start_time(owner["pid"]) != owner["start"]


def sweep() -> list[str]:
    """Removes every leftover; returns their names."""
    with paths.locked("clusters"):
        leftovers = [name for name in names() if is_leftover(name)]
    for name in leftovers:
        remove(name)
    return leftovers


def remove(name: str) -> None:
    """Removes all of a cluster: processes, groups, namespaces, files; by names, so it needs no state file.

    One process at a time does it: janitor, `cluster down` and the sweep of another run may all want to.
    """
    with paths.locked(f"remove-{name}"):
        _remove(name)


def _remove(name: str) -> None:
    mark = prefix(name)
    cgroups.kill(mark)
    network.kill(mark)

    def gone() -> bool:
        cgroups.kill(mark)
        return cgroups.remove(mark)

    wait_until(f"removal of the groups of cluster {name}", gone, 60, lambda: f"still running: {sorted(cgroups.processes(mark))}")
    wait_until(f"removal of the namespaces of cluster {name}", lambda: network.remove(mark), 30)

    def removed() -> bool:
        # what a dying process still writes makes a folder not empty once more
        shutil.rmtree(folder(name), ignore_errors=True)
        return not folder(name).exists()

    wait_until(f"removal of the files of cluster {name}", removed, 60, lambda: f"left: {sorted(folder(name).rglob('*'))[:20]}")


def remains(name: str) -> dict[str, list[str]]:
    """What the host still has of a cluster: for tests that show that nothing is left."""
    mark = prefix(name)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return {
        "processes": [str(pid) for pid in sorted(cgroups.processes(mark))],
        "groups": [str(path) for hierarchy in cgroups.hierarchies() for path in hierarchy.glob(f"{mark}*")],
        "namespaces": network.namespaces(mark),
        "mounts": [line for line in mounts if mark in line or str(folder(name)) in line],
        "files": [str(folder(name))] if folder(name).exists() else [],
    }
