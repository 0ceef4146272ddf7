"""containerd's store with all test images already imported and unpacked; machines start from a copy made of hard links.

containerd never changes a blob or an unpacked layer in place, only its two databases, so those alone are really copied.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import paths
from .shell import Failure, run, succeeds, wait_until

DATABASES = "*.db"


def ensure(archive: Path) -> Path:
    """The store for an archive, made if it is not there."""
    store = archive.with_name(archive.stem + ".containerd")
    with paths.locked("imagestore"):
        if not store.exists():
            print("unpacking the test images", file=sys.stderr, flush=True)
            _make(archive, store)
    return store


def _make(archive: Path, store: Path) -> None:
    partial = store.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with tempfile.TemporaryDirectory(prefix="k3s-rs-containerd.") as work:
        socket, config = f"{work}/containerd.sock", Path(work) / "config.toml"
        config.write_text(f"version = 3\nroot = '{partial}'\nstate = '{work}/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri', "
                          f"'io.containerd.cri.v1.runtime', 'io.containerd.cri.v1.images']\n[grpc]\naddress = '{socket}'\n[ttrpc]\naddress = '{socket}.ttrpc'\n")
        with open(f"{work}/log", "wb") as log:
            # A mount namespace of its own: whatever it mounts to unpack a layer is never seen by the host.
            command = ["unshare", "--mount", "--net", "--propagation", "private", str(paths.programs() / "containerd"), "--config", str(config)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            ctr = [str(paths.programs() / "ctr"), "--address", socket]
            wait_until("answer of containerd", lambda: _answers(process, ctr, work), 30)
            run([*ctr, "-n", "k8s.io", "images", "import", "--no-unpack=false", "--local", str(archive)], timeout=300)
        finally:
            process.terminate()
            process.wait(30)
    partial.rename(store)


def _answers(process: subprocess.Popen, ctr: list[str], work: str) -> bool:
    if process.poll() is not None:
        raise Failure(f"containerd ended with status {process.returncode}\n{Path(work, 'log').read_text()[-2000:]}")
    return succeeds([*ctr, "version"], timeout=5)


def copy(store: Path, target: Path) -> None:
    """Puts the store at a machine's /var/lib/containerd."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "-al", str(store), str(target)])
    for database in store.rglob(DATABASES):
        copied = target / database.relative_to(store)
        copied.unlink()
        shutil.copy2(database, copied)
