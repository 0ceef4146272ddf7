"""The power goes amid writers, again and again: every write that was acknowledged is in the store, revisions never go back.

K3S_RS_CUTS says how often (20). Slow, and as root. K3S_RS_BIN has k3s-rs-datastore and store (of tests/contract).
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from machines.shell import run, succeeds, wait_until

from .plane import Daemon, Plane, ours

CUTS = int(os.environ.get("K3S_RS_CUTS", "20"))
WRITERS = 50
HERE = Path(__file__).resolve().parent
# linux/sched.h, linux/mount.h
NEW_MOUNTS, PRIVATE = 0x20000, 1 << 18 | 1 << 14


def own_mounts() -> None:
    """Machines that start meanwhile must not take over what is mounted here: it would stay in use."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) or libc.mount(b"none", b"/", None, PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mounts of its own")


class Machine:
    """A file system on a disk that forgets, and a ledger on one that does not."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.image, self.file, self.disk, self.ledger = (folder / name for name in ("image", "file", "disk", "ledger"))
        run(["truncate", "-s", "512M", str(self.image)])
        run(["mkfs.ext4", "-q", "-F", str(self.image)])
        self.file.touch()
        self.disk.mkdir()
        self.ledger.touch()
        self.process: subprocess.Popen[str] | None = None
        self.device = ""

    def start(self) -> None:
        """With power: what the journal of the file system has is done anew."""
        command = [sys.executable, "-m", "spine.unsynced", str(self.image), str(self.file)]
        self.process = subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout, "it is a pipe"
        assert self.process.stdout.readline() == "ready\n", "it says so"
        self.device = run(["losetup", "--find", "--show", str(self.file)]).strip()
        run(["mount", self.device, str(self.disk)])

    def cut(self, seed: int) -> tuple[int, int]:
        """Without power: how many blocks were in doubt, how many of them are lost."""
        assert self.process and self.process.stdin and self.process.stdout, "they are pipes"
        self.process.stdin.write(f"cut {seed}\n")
        self.process.stdin.flush()
        doubted, lost = self.process.stdout.readline().split()
        return int(doubted), int(lost)

    def stop(self) -> None:
        """Takes everything down; nobody uses it any more."""
        if self.process is None:
            return
        wait_until("unmounting", lambda: succeeds(["umount", str(self.disk)]) or not os.path.ismount(self.disk), 30)
        if self.device:
            run(["losetup", "--detach", self.device])
            wait_until("detaching", lambda: not run(["losetup", "--associated", str(self.file)]), 30)
        wait_until("unmounting the disk's file", lambda: succeeds(["umount", str(self.file)]) or not os.path.ismount(self.file), 30)
        assert self.process.stdin, "it is a pipe"
        self.process.stdin.close()
        self.process.wait(30)
        self.process, self.device = None, ""


class PowerCut(unittest.TestCase):
    """Twenty in a row, on one database."""

    def test_nothing_acknowledged_is_lost(self) -> None:
        """Each cut after some hundred more acknowledgements."""
        own_mounts()
        store, written, lost = str(ours("store")), 0, 0
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, Plane() as plane:
            machine = Machine(Path(folder))
            try:
                for cut in range(CUTS + 1):
                    machine.start()
                    datastore = plane.store("ours", machine.disk / "store", socket=f"{folder}/store.sock")
                    print(run([store, "verify", datastore.endpoint, str(machine.ledger)]).strip(), file=sys.stderr)
                    if cut < CUTS:
                        doubted, gone = self.one(machine, datastore, store, cut)
                        written, lost = written + doubted, lost + gone
                    else:
                        datastore.stop()
                    machine.stop()
            finally:
                for daemon in plane.daemons:
                    daemon.stop(signal.SIGKILL)
                machine.stop()
        print(f"{CUTS} power cuts amid {WRITERS} writers: {written} blocks not synced, {lost} of them lost", file=sys.stderr)
        self.assertGreater(lost, 0, "no cut took anything: the test is none")

    def one(self, machine: Machine, datastore: Daemon, store: str, cut: int) -> tuple[int, int]:
        """Writers, and the cut amid them."""
        before = machine.ledger.stat().st_size
        writers = subprocess.Popen([store, "write", datastore.endpoint, str(WRITERS), str(machine.ledger)], stdout=subprocess.DEVNULL)
        more = before + 10_000 + cut * 700
        wait_until("acknowledgements", lambda: machine.ledger.stat().st_size > more or writers.poll() is not None, 120, datastore.tail)
        self.assertIsNone(writers.poll(), "the writers write until the store is gone")
        found = machine.cut(cut)
        datastore.stop(signal.SIGKILL)
        writers.wait(60)
        return found
