"""Upstream's client library on kube-apiserver and on ours: the same transcript."""

import difflib
import unittest

from .plane import Plane, play


def lines(make: str) -> list[str]:
    """What the clients say of an API server over its own store, which it found filled."""
    with Plane() as plane:
        store = plane.store(make)
        first = plane.apiserver(make, store)
        text = play(["kinds", first.facts["kubeconfig"]])
        first.stop()
        second = plane.apiserver(make, store, compaction=3)
        for command in ("informer", "pages", "openapi"):
            text += play([command, second.facts["kubeconfig"]])
        return text.splitlines()


class Clients(unittest.TestCase):
    """Informers, pages, faces."""

    maxDiff = None

    def test_the_same_transcript(self) -> None:
        """Every answer but versions, times and identities."""
        different = list(difflib.unified_diff(lines("upstream"), lines("ours"), "kube-apiserver", "ours", n=1, lineterm=""))
        if different:
            self.fail("\n".join(different))
