"""The comparison itself: a fault planted in any class of field is found, and what differs by chance is not a fault."""

import copy
import json
import unittest

from parity.compare import differences
from parity.corpus import parse_step
from parity.normal import Normaliser
from parity.server import until

UID = ("11111111-2222-4333-8444-555555555555", "99999999-8888-4777-8666-555555555555")
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private", "Audit-Id": "x"}


def answer(uid: str, second: int) -> dict:
    """An object as a server might answer it."""
    when = f"2026-01-01T00:00:0{second}Z"
    return {
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": "a", "uid": uid, "resourceVersion": f"10{second}", "creationTimestamp": when, "generation": 1, "labels": {"a": "b"},
            "managedFields": [{"manager": "m", "operation": "Update", "time": when, "fieldsV1": {"f:spec": {}}}],
            "ownerReferences": [{"uid": uid, "name": "o"}],
        },
        "spec": {"clusterIP": f"10.43.0.{second}", "ports": [{"port": 80, "nodePort": 30000 + second}], "on": True, "share": 0.5, "none": None},
    }


def normal(value: dict, status: int = 200, headers: dict | None = None) -> dict:
    """As the run normalises it."""
    return Normaliser("10.77.0.11").answer(status, headers or HEADERS, json.dumps(value).encode())


class Planted(unittest.TestCase):
    """Faults and chances."""

    def test_chance_is_no_difference(self) -> None:
        self.assertEqual(list(differences(normal(answer(UID[0], 1)), normal(answer(UID[1], 2)))), [])

    def test_each_class_of_field(self) -> None:
        faults = {
            "text": ("metadata.name", "b"), "number": ("metadata.generation", 2), "truth": ("spec.on", False), "fraction": ("spec.share", 0.25),
            "null": ("spec.none", 0), "label": ("metadata.labels.a", "c"), "kind": ("kind", "Pod"), "list item": ("spec.ports.0.port", 81),
            "owner": ("metadata.managedFields.0.manager", "n"), "ownership": ("metadata.managedFields.0.fieldsV1", {}),
            "another uid than its own": ("metadata.ownerReferences.0.uid", "00000000-0000-4000-8000-000000000000"),
            "a time that is none": ("metadata.creationTimestamp", None), "a version that is none": ("metadata.resourceVersion", "0"),
            "an address that is none": ("spec.clusterIP", "None"), "a port out of range": ("spec.ports.0.nodePort", 80),
        }
        for name, (path, value) in faults.items():
            with self.subTest(name):
                ours = copy.deepcopy(answer(UID[1], 2))
                plant(ours, path.split("."), value)
                self.assertEqual(len(list(differences(normal(answer(UID[0], 1)), normal(ours)))), 1, path)

    def test_missing_and_further_fields(self) -> None:
        less, more = answer(UID[1], 2), answer(UID[1], 2)
        del less["spec"]["ports"]
        more["spec"]["new"] = {}
        for ours in (less, more):
            self.assertEqual(len(list(differences(normal(answer(UID[0], 1)), normal(ours)))), 1)

    def test_status_and_headers(self) -> None:
        real = normal(answer(UID[0], 1))
        for ours in (
            normal(answer(UID[0], 1), status=201),
            normal(answer(UID[0], 1), headers=HEADERS | {"Warning": '299 - "x"'}),
            normal(answer(UID[0], 1), headers=HEADERS | {"Cache-Control": "public"}),
            normal(answer(UID[0], 1), headers={key: value for key, value in HEADERS.items() if key != "Audit-Id"}),
        ):
            self.assertEqual(len(list(differences(real, ours))), 1)

    def test_protobuf(self) -> None:
        def of(name: str, number: int) -> dict:
            inner = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x10" + bytes([number])
            body = b"k8s\0\x0a" + bytes([len(inner)]) + inner
            return Normaliser("x").answer(200, {"Content-Type": "application/vnd.kubernetes.protobuf"}, body)

        self.assertEqual(list(differences(of("abc", 1), of("abc", 1))), [])
        self.assertEqual(len(list(differences(of("abc", 1), of("abd", 1)))), 1)
        self.assertEqual(len(list(differences(of("abc", 1), of("abc", 2)))), 1)


class Waiting(unittest.TestCase):
    """A step that waits asks until it has seen its text, and says when it never did."""

    STEP = "a title\n# @until 0.2 is known\nGET /x\nAccept: a/b\n\n{}\n"

    def test_asks_until_it_is_there(self) -> None:
        answers = iter([(403, {}, b"not yet"), (403, {}, b"it is known")])
        self.assertEqual(until(parse_step(self.STEP), lambda: next(answers)), ((403, {}, b"it is known"), True))

    def test_ends(self) -> None:
        self.assertEqual(until(parse_step(self.STEP), lambda: (403, {}, b"not yet")), ((403, {}, b"not yet"), False))

    def test_other_steps_ask_once(self) -> None:
        answers = iter([(200, {}, b"")])
        step = parse_step(self.STEP.replace("# @until 0.2 is known\n", ""))
        self.assertEqual((step.method, step.path, step.headers, step.body), ("GET", "/x", {"Accept": "a/b"}, "{}"))
        self.assertEqual(until(step, lambda: next(answers)), ((200, {}, b""), True))


def plant(tree: object, path: list[str], value: object) -> None:
    """Sets a value deep inside."""
    for key in path[:-1]:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    tree[int(path[-1]) if isinstance(tree, list) else path[-1]] = value


if __name__ == "__main__":
    unittest.main()
