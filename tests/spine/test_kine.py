"""k3s's database, written by the real kine and kube-apiserver, opened by ours, and written back for them."""

import json
import sys
import unittest
from pathlib import Path

from machines import paths

from .plane import Daemon, Plane, free_port, ours, play

sys.path.insert(0, str(paths.CONFORMANCE))
import programs  # noqa: E402

LISTS = [
    "/api/v1/configmaps", "/api/v1/services", "/api/v1/namespaces", "/apis/networking.k8s.io/v1/ipaddresses", "/api/v1/secrets",
    "/apis/autoscaling/v2/horizontalpodautoscalers", "/api/v1/events", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/scheduling.k8s.io/v1/priorityclasses", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "/api/v1/pods",
]


def kine(plane: Plane, database: Path) -> Daemon:
    """The real kine on a database."""
    port = free_port()
    command = [str(paths.programs() / "kine"), f"--listen-address=tcp://127.0.0.1:{port}", "--metrics-bind-address=0"]
    daemon = plane._daemon("store", "kine", [*command, f"--endpoint=sqlite://{database}?_journal_mode=WAL&_busy_timeout=30000&_txlock=immediate"])
    daemon.endpoint = f"http://127.0.0.1:{port}"
    daemon.start()
    return daemon


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

    def compare(self, expected: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> None:
        """Every object of before is there and the same; servers add objects of their own at start."""
        for path, objects in expected.items():
            for name, text in objects.items():
                self.assertEqual(json.loads(text), json.loads(found[path].get(name, "null")), f"{path} {name}")
