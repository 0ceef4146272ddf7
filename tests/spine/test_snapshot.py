"""Snapshots of the datastore, saved by the real etcdctl while writes go on, and begun with by another datastore."""

import base64
import json
import threading
import unittest
from pathlib import Path

from machines import paths
from machines.shell import Failure, run

from .plane import Daemon, Plane


def ask(store: Daemon, *words: str) -> str:
    """One etcdctl command."""
    return run([str(paths.programs() / "etcdctl"), f"--endpoints={store.endpoint}", *words])


def content(store: Daemon) -> dict[str, tuple]:
    """Every key with all that is known of it, and the store's revision under an empty key."""
    answer = json.loads(ask(store, "get", "--prefix", "/", "-w", "json"))
    facts = ("create_revision", "mod_revision", "version", "value", "lease")
    found = {kv["key"]: tuple(kv.get(fact) for fact in facts) for kv in answer.get("kvs", [])}
    return {**found, "": (answer["header"]["revision"],)}


class Snapshot(unittest.TestCase):
    """There and back."""

    def test_saved_amid_writes_and_restored(self) -> None:
        """What the snapshot has is one moment: the restored store goes on from there."""
        with Plane() as plane:
            store = plane.store("ours")
            for number in range(40):
                ask(store, "put", f"/key-{number:02}", "x" * 3000)
            ask(store, "put", "/key-00", "changed")
            ask(store, "del", "/key-01")
            granted = ask(store, "lease", "grant", "3600").split()[1]
            ask(store, "put", f"--lease={granted}", "/leased", "for an hour")
            before, stop = content(store), threading.Event()

            def write() -> None:
                number = 0
                while not stop.is_set():
                    ask(store, "put", "/moving", str(number))
                    number += 1

            writer = threading.Thread(target=write)
            writer.start()
            saved = plane.folder / "saved.db"
            try:
                ask(store, "snapshot", "save", str(saved))
            finally:
                stop.set()
                writer.join()
            after = content(store)

            restored = plane.store("ours", restore=str(saved))
            self.assertIn("Restored a snapshot", restored.log.read_text())
            found = content(restored)
            self.assertEqual({k: v for k, v in before.items() if k}, {k: v for k, v in found.items() if k not in ("", self.key("/moving"))})
            self.assertTrue(before[""] <= found[""] <= after[""], (before[""], found[""], after[""]))
            self.assertIn(granted, ask(restored, "lease", "list"))
            ask(restored, "put", "/after", "goes on")
            self.assertEqual(content(restored)[""], (found[""][0] + 1,))
            self.refused(plane, saved)

    def key(self, name: str) -> str:
        """As JSON has it."""
        return base64.b64encode(name.encode()).decode()

    def refused(self, plane: Plane, saved: Path) -> None:
        """A snapshot whose bytes changed is no database."""
        spoilt = bytearray(saved.read_bytes())
        spoilt[len(spoilt) // 2] ^= 1
        (plane.folder / "spoilt.db").write_bytes(spoilt)
        with self.assertRaises(Failure) as caught:
            plane.store("ours", restore=str(plane.folder / "spoilt.db"))
        self.assertIn("its checksum is not that of its contents", str(caught.exception))
