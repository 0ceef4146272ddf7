"""A cgroup subtree per machine in every hierarchy, so that two nodes never share a `kubepods`, and its removal.

The folders' names begin with the cluster's prefix: cleaning up needs no record of what was made.
"""

import contextlib
import os
import signal
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# The kernel weighs a group like one task, here 1024; a machine is as much as sixteen, or one compiler starves a whole cluster.
SHARES = 16 * 1024
CONTROLLERS = "cpu cpuacct cpuset memory blkio devices freezer pids systemd unified".split()


def hierarchies() -> list[Path]:
    """The mounted hierarchies: v1 controllers and the unified one, or the unified one alone."""
    mounted = [ROOT / name for name in CONTROLLERS if (ROOT / name).is_dir()]
    return mounted or [ROOT]


def create(group: str) -> list[Path]:
    """Makes the group everywhere; a process written into each folder's cgroup.procs belongs to it."""
    folders = []
    for hierarchy in hierarchies():
        folder = hierarchy / group
        folder.mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (folder / file).write_text((hierarchy / file).read_text())
        if hierarchy.name == "cpu":
            (folder / "cpu.shares").write_text(str(SHARES))
        folders.append(folder)
    return folders


def processes(prefix: str) -> set[int]:
    """Every process in groups whose name begins with the prefix."""
    found: set[int] = set()
    for folder in _folders(prefix):
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                found.update(int(word) for word in (Path(path) / "cgroup.procs").read_text().split())
    return found - {0}


def kill(prefix: str) -> None:
    """Kills every process in the groups."""
    for pid in processes(prefix) - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def remove(prefix: str) -> bool:
    """Removes the groups, deepest first; false while the kernel still holds one."""
    for folder in _folders(prefix):
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return not _folders(prefix)


def _folders(prefix: str) -> list[Path]:
    return [folder for hierarchy in hierarchies() for folder in hierarchy.glob(f"{prefix}*") if folder.is_dir()]
