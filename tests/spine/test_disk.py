"""The datastore on a disk that is full, and on one that stalls: writes wait or are refused, reads go on, nothing is lost."""

import tempfile
import threading
import time
import unittest
from pathlib import Path

from machines import paths
from machines.shell import Failure, run, succeeds, wait_until

from .plane import Daemon, Plane


class Disk(unittest.TestCase):
    """A file system of its own for the database."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="k3s-rs-disk-"))

    def tearDown(self) -> None:
        succeeds(["umount", str(self.folder / "disk")])
        run(["rm", "-rf", str(self.folder)])

    def ask(self, store: Daemon, *words: str, timeout: float = 5) -> str:
        """One etcdctl command."""
        return run([str(paths.programs() / "etcdctl"), f"--endpoints={store.endpoint}", f"--command-timeout={timeout:g}s", *words])

    def test_a_full_disk_refuses_writes_until_there_is_room(self) -> None:
        """A small tmpfs, filled by somebody else."""
        disk = self.folder / "disk"
        disk.mkdir()
        run(["mount", "-t", "tmpfs", "-o", "size=24m", "k3s-rs-test", str(disk)])
        with Plane() as plane:
            store = plane.store("ours", disk / "store")
            self.ask(store, "put", "/before", "kept")
            with (disk / "hog").open("wb") as hog:
                try:
                    while True:
                        hog.write(bytes(1 << 16))
                        hog.flush()
                except OSError:
                    pass
            value = "x" * 100_000
            written, refused = 0, ""
            for number in range(400):
                try:
                    self.ask(store, "put", f"/key-{number:03}", value)
                    written += 1
                except Failure as failure:
                    refused = str(failure)
                    break
            self.assertIn("etcdserver: mvcc: database space exceeded", refused)
            self.assertIn("kept", self.ask(store, "get", "/before"))
            self.assertEqual(self.ask(store, "get", "--prefix", "/key-", "--keys-only").count("/key-"), written)
            self.assertIsNone(store.process and store.process.poll(), "it goes on")
            (disk / "hog").unlink()
            self.ask(store, "put", "/after", "room")
            for number in range(20):
                self.ask(store, "put", f"/later-{number}", value)
            store.stop()
            again = plane.store("ours", disk / "store")
            self.assertEqual(self.ask(again, "get", "--prefix", "/key-", "--keys-only").count("/key-"), written)
            self.assertIn("room", self.ask(again, "get", "/after"))
            self.assertIn("The disk is full; refusing writes until there is room", store.log.read_text())

    def test_a_stalled_disk_delays_writes_and_nothing_else(self) -> None:
        """A file system that is frozen for a while."""
        disk, image = self.folder / "disk", self.folder / "image"
        disk.mkdir()
        run(["truncate", "-s", "64M", str(image)])
        run(["mkfs.ext4", "-q", str(image)])
        if not succeeds(["mount", "-o", "loop", str(image), str(disk)]):
            self.skipTest("no loop device")
        with Plane() as plane:
            store = plane.store("ours", disk / "store")
            self.ask(store, "put", "/before", "kept")
            run(["fsfreeze", "--freeze", str(disk)])
            done: list[str] = []
            try:
                writer = threading.Thread(target=lambda: done.append(self.ask(store, "put", "/during", "waited", timeout=60)))
                writer.start()
                begin = time.monotonic()
                while time.monotonic() - begin < 3:
                    self.assertIn("kept", self.ask(store, "get", "--consistency=s", "/before"))
                self.assertFalse(done, "a write was acknowledged while nothing could be synced")
            finally:
                run(["fsfreeze", "--unfreeze", str(disk)])
            wait_until("the write", lambda: bool(done), 30)
            writer.join()
            self.assertIn("waited", self.ask(store, "get", "/during"))
