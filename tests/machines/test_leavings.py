"""Nothing of a cluster is left on the host, however its run ends: python3 -m unittest machines.test_leavings (in tests/, as root)."""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from . import paths, state
from .shell import run, wait_until

LONG = 300  # the host may be busy
CLUSTER = str(paths.HERE / "cluster")
DRIVER = """
import sys
from machines import parts
from machines.commands import archive
from machines.cluster import Cluster
cluster = Cluster.create(sys.argv[1], parts.parse("all=none"), machines=["n1", "n2"])
try:
    cluster.up(archive(), "machines")
    print("up", flush=True)
    cluster.machines["n1"].execute(sys.argv[2])
    cluster.machines["n1"].succeed("false")
finally:
    cluster.down()
"""


def drive(name: str, command: str) -> subprocess.Popen:
    """A run of its own process: two machines, a command in one, then a failing check."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, name, command], cwd=paths.HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    # on a new host trees and images are made first, and told
    if not any(line == b"up\n" for line in process.stdout):
        raise AssertionError(process.communicate())
    return process


def janitors(name: str) -> list[int]:
    """The processes that would clean up after the cluster's owner."""
    return [int(pid) for pid in run(["pgrep", "-f", f"machines.janitor {name} "], check=False).split()]


class Leavings(unittest.TestCase):
    """Each test ends a run in another way."""

    def assert_nothing_left(self, name: str) -> None:
        """No process, group, namespace, mount or file of the cluster, once whoever may clean up has ended."""
        wait_until(f"end of the janitor of {name}", lambda: not janitors(name), LONG)
        self.assertEqual({}, {kind: found for kind, found in state.remains(name).items() if found})

    def test_failing_check(self) -> None:
        """A failed check ends the run and the machines."""
        process = drive("leavea", "true")
        _, errors = process.communicate(timeout=LONG)
        self.assertIn(b"`false` ended with 1", errors)
        self.assert_nothing_left("leavea")

    def test_driver_killed(self) -> None:
        """The driver is killed with -9 in the middle of a command; the janitor cleans up."""
        process = drive("leaveb", "sleep 1000")
        self.assertTrue(state.remains("leaveb")["processes"])
        process.kill()
        process.communicate(timeout=LONG)
        self.assert_nothing_left("leaveb")

    def test_driver_and_janitor_killed(self) -> None:
        """Nobody is left to clean up: the next command does it."""
        process = drive("leavec", "sleep 1000")
        found = janitors("leavec")
        self.assertTrue(found)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate(timeout=LONG)
        self.assertTrue(state.remains("leavec")["processes"])
        run([CLUSTER, "clean"])
        self.assert_nothing_left("leavec")

    def test_machine_killed(self) -> None:
        """A machine dies under the driver; the run fails and still leaves nothing."""
        process = drive("leaved", "sleep 1000")
        value = state.load("leaved")
        self.assertEqual(process.pid, value["owner"]["pid"])
        nspawn = (state.folder("leaved") / "n1/pid").read_text().split()[0]
        first = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()[0]
        os.kill(int(first), signal.SIGKILL)
        process.communicate(timeout=LONG)
        self.assertNotEqual(0, process.returncode)
        self.assert_nothing_left("leaved")


if __name__ == "__main__":
    unittest.main()
