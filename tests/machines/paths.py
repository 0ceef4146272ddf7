"""Where things are: caches outside the checkout, run-time state that a reboot clears, locks between runs."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CONFORMANCE = HERE.parent / "conformance"


def cache() -> Path:
    """Everything that can be made again: trees, programs, images, build directories."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "k3s-rs"
    return Path(os.environ.get("K3S_RS_CACHE") or fallback)


def programs() -> Path:
    """Upstream's programs."""
    return cache() / "upstream" / "bin"


def trees() -> Path:
    """Debian trees: of the machines and of the test images."""
    return cache() / "trees"


def images() -> Path:
    """The archive of all test images, and containerd's store with that archive imported."""
    return cache() / "images"


def clusters() -> Path:
    """One folder per running cluster: its state file and the machines' writable files."""
    return cache() / "clusters"


def results() -> Path:
    """One folder per conformance run."""
    return cache() / "results"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds a lock between processes; the kernel lets go of it when the process ends, however it ends."""
    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
