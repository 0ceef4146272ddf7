"""Whether the disks hold what is about to be made: told before an hour of building, not after it."""

import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

from . import paths

GB = 10**9


def target() -> Path:
    """Cargo's target directory of this checkout, named as .ci/slot names it."""
    number = subprocess.run(["cksum"], input=str(paths.REPOSITORY), capture_output=True, text=True, check=True).stdout.split()[0]
    return paths.cache() / f"target-{number}"


def registry() -> Path:
    """Where cargo keeps crates."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "registry"


def go(variable: str) -> Path:
    """One of Go's folders."""
    return Path(subprocess.run(["go", "env", variable], capture_output=True, text=True, check=True).stdout.strip())


def pieces(task: str) -> list[tuple[Path, float]]:
    """What a task leaves where, in GB, as found on machines that had nothing before: `up`, `test`."""
    column = {"up": 0, "test": 1}[task]
    table = [
        (target(), (4.0, 7.0)),
        (registry(), (0.3, 0.4)),
        (go("GOMODCACHE"), (2.0, 5.0)),
        (go("GOCACHE"), (2.5, 8.0)),
        (paths.programs().parent, (0.3, 1.4)),
        (paths.trees(), (0.2, 0.6)),
        (paths.images(), (0.1, 1.5)),
        (paths.cache() / "ours", (0.8, 0.9)),
        (paths.clusters(), (0.5, 0.8)),
    ]
    return [(path, sizes[column]) for path, sizes in table]


def lack(task: str) -> str:
    """What to tell the user if a disk lacks space for the task; empty if there is enough."""
    disks: dict[Path, list[tuple[Path, float]]] = defaultdict(list)
    for path, size in pieces(task):
        disks[mount(path)].append((path, size))
    for disk, wanted in disks.items():
        free = shutil.disk_usage(disk).free / GB
        if free >= sum(size for _, size in wanted):
            continue
        # counting what is there already takes seconds, so it comes second
        needed = sum(max(0.0, size - used(path)) for path, size in wanted)
        if free < needed:
            places = ", ".join(sorted({str(path.parent if path.is_relative_to(paths.cache()) else path) for path, _ in wanted}))
            return (f"the disk of {disk} needs about {needed:.1f} GB more for this and has {free:.1f} GB free: free some, or put the caches on "
                    f"another disk ({places}; K3S_RS_CACHE=DIR moves what is in {paths.cache()})")
    return ""


def used(path: Path) -> float:
    """GB a folder takes up already."""
    found = subprocess.run(["du", "-sk", str(path)], capture_output=True, text=True, check=False).stdout.split()
    return int(found[0]) * 1024 / GB if found else 0.0


def mount(path: Path) -> Path:
    """The mount point of a path that may not be there yet."""
    while not path.exists() or not path.is_mount():
        path = path.parent
    return path
