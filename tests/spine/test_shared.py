"""Several API servers on one store, ours and real ones: no stale read, no false conflict, nothing given twice."""

import unittest

from .plane import Plane, play


class Shared(unittest.TestCase):
    """Each pair of servers on each store."""

    def check(self, store_make: str, *makes: str) -> None:
        """One pair."""
        with Plane() as plane:
            store = plane.store(store_make)
            servers = [plane.apiserver(make, store) for make in makes]
            text = play(["shared", *(server.facts["kubeconfig"] for server in servers)], 400)
            self.assertEqual(len(text.splitlines()), 7, text)

    def test_two_of_ours_on_our_store(self) -> None:
        self.check("ours", "ours", "ours")

    def test_two_of_ours_on_etcd(self) -> None:
        self.check("upstream", "ours", "ours")

    def test_ours_and_a_real_one_on_our_store(self) -> None:
        self.check("ours", "ours", "upstream")

    def test_ours_and_a_real_one_on_etcd(self) -> None:
        self.check("upstream", "ours", "upstream")
