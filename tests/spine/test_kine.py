"""k3s's database, written by the real kine and kube-apiserver, opened by ours, and written back for them."""

import json
import sqlite3
import sys
import unittest
from pathlib import Path

from machines import paths
from machines.shell import wait_until

from .plane import Daemon, Plane, free_port, ours, play

sys.path.insert(0, str(paths.CONFORMANCE))
import programs  # noqa: E402

LISTS = [
    "/api/v1/configmaps", "/api/v1/services", "/api/v1/namespaces", "/apis/networking.k8s.io/v1/ipaddresses", "/api/v1/secrets",
    "/apis/autoscaling/v2/horizontalpodautoscalers", "/api/v1/events", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/scheduling.k8s.io/v1/priorityclasses", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "/api/v1/pods",
]


# What every server writes anew when it starts.
OWN = {"kube-system/extension-apiserver-authentication", "default/kubernetes"}


def kine(plane: Plane, database: Path) -> Daemon:
    """The real kine on a database."""
    port = free_port()
    command = [str(paths.programs() / "kine"), f"--listen-address=tcp://127.0.0.1:{port}", "--metrics-bind-address=0"]
    command += ["--compact-interval=1s", "--compact-min-retain=20"]
    daemon = plane._daemon("store", "kine", [*command, f"--endpoint=sqlite://{database}?_journal_mode=WAL&_busy_timeout=30000&_txlock=immediate"])
    daemon.endpoint = f"http://127.0.0.1:{port}"
    daemon.start()
    return daemon


def count(database: Path, where: str) -> int:
    """Rows of kine's table."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute(f"SELECT count(*) FROM kine WHERE {where}").fetchone()[0]


def content(plane: Plane, server: Daemon) -> dict[str, dict[str, str]]:
    """What an API server lists: everything of every object, its version included."""
    found: dict[str, dict[str, str]] = {}
    for path in LISTS:
        status, body = plane.get(server, path)
        assert status == 200, f"{path}: {status} {body[:300]!r}"
        objects = json.loads(body)["items"] or []
        found[path] = {f"{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": json.dumps(o, sort_keys=True) for o in objects}
    return found


class Kine(unittest.TestCase):
    """There and back."""

    def test_import_and_export(self) -> None:
        """Every object is the same, wherever it is served from."""
        programs.ensure(["kine"])
        with Plane() as plane:
            original = plane.folder / "state.db"
            store = kine(plane, original)
            real = plane.apiserver("upstream", store)
            play(["load", real.facts["kubeconfig"], "create", "-n", "300"])
            play(["kinds", real.facts["kubeconfig"]])
            play(["fill", real.facts["kubeconfig"]])
            self.wait_compacted(original)
            real.stop()
            store.stop()
            store = self.with_a_gap(plane, original)
            real = plane.apiserver("upstream", store)
            self.assertGreaterEqual(count(original, "name LIKE 'gap-%'"), 3)
            before = content(plane, real)
            self.assertGreater(sum(len(objects) for objects in before.values()), 350)
            real.stop()
            store.stop()
            kept = original.read_bytes()

            imported = plane.store("ours", **{"import": str(original)})
            self.assertIn("Imported the database of k3s", imported.log.read_text())
            mine, theirs = plane.apiserver("ours", imported), plane.apiserver("upstream", imported)
            self.compare(before, content(plane, mine))
            self.compare(before, content(plane, theirs))
            self.assertEqual(kept, original.read_bytes(), "the original is only read")
            play(["shared", mine.facts["kubeconfig"], theirs.facts["kubeconfig"]], 400)
            after = content(plane, mine)
            for daemon in (mine, theirs, imported):
                daemon.stop()

            back = plane.folder / "back.db"
            programs_run = [str(ours("k3s-rs-datastore")), "export", f"{imported.facts['folder']}/state.db", str(back)]
            plane.run(programs_run)
            returned = plane.apiserver("upstream", kine(plane, back))
            self.compare(after, content(plane, returned))
            play(["load", returned.facts["kubeconfig"], "patch", "-n", "50", "-namespace", "load"])

    def with_a_gap(self, plane: Plane, database: Path) -> Daemon:
        """A revision without a row, as a transaction that never ended leaves it: kine fills it."""
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE sqlite_sequence SET seq = seq + 3 WHERE name = 'kine'")
        store = kine(plane, database)
        filler = plane.apiserver("upstream", store)
        wait_until("kine filling the gap", lambda: count(database, "name LIKE 'gap-%'") >= 3, 60, store.tail)
        filler.stop()
        return store

    def wait_compacted(self, database: Path) -> None:
        """Kine forgot what was superseded and deleted, but for the newest revisions."""
        compacted = "SELECT prev_revision FROM kine WHERE name = 'compact_rev_key'"
        head = "SELECT max(id) FROM kine"

        def done() -> bool:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                at, last = (connection.execute(query).fetchone()[0] for query in (compacted, head))
            return at > last - 100

        wait_until("kine's compaction", done, 60)

    def compare(self, expected: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> None:
        """Every object of before is there and the same; servers add objects of their own at start."""
        for path, objects in expected.items():
            for name, text in objects.items():
                if name in OWN:
                    continue
                self.assertEqual(json.loads(text), json.loads(found[path].get(name, "null")), f"{path} {name}")
