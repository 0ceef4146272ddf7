"""Every reply to a write comes after its sync: the system calls of the datastore say so."""

import re
import shutil
import subprocess
import unittest
from pathlib import Path

from machines import paths
from machines.shell import run, wait_until

from .plane import Plane

WRITES = 25
CALLS = "pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})+)"')
# frames of HTTP/2: a header of nine bytes begins with three of length; the kind of data is zero
HEADER, DATA = 9, 0


def has_reply(line: str) -> bool:
    """Whether a system call's bytes have a frame of data on a stream: the answer to a request."""
    data = b"".join(bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(line))
    while len(data) >= HEADER:
        length, kind, stream = int.from_bytes(data[:3]), data[3], int.from_bytes(data[5:9])
        if kind == DATA and stream and length:
            return True
        data = data[HEADER + length :]
    return False


class Sync(unittest.TestCase):
    """One client, one write after the other, so that nothing but its write is under way."""

    def test_sync_before_reply(self) -> None:
        """The log is written, synced by data alone, and only then answered."""
        if not shutil.which("strace"):
            self.skipTest("needs the Debian package strace")
        with Plane() as plane:
            store = plane.store("ours")
            trace = plane.folder / "trace"
            command = ["strace", "-f", "-x", "-y", "-s", "8192", "-e", f"trace={CALLS}", "-o", str(trace), "-p", str(store.pid)]
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            try:
                assert tracer.stderr, "it is a pipe"
                self.assertIn("attached", tracer.stderr.readline())
                for number in range(WRITES):
                    run([str(paths.programs() / "etcdctl"), f"--endpoints={store.endpoint}", "put", "/key", str(number)])
            finally:
                tracer.terminate()
                tracer.wait()
            wait_until("the trace", trace.exists, 5)
            self.judge(trace)

    def judge(self, trace: Path) -> None:
        """Between a write to the log and a reply there is the end of a sync."""
        unsynced, syncs, replies = "", 0, 0
        for line in trace.read_text().splitlines():
            call = line.split(maxsplit=1)[1]
            if call.startswith("pwrite64") and "-wal>" in call:
                unsynced = call
            elif "fsync(" in call and "-wal>" in call:
                self.fail(f"metadata is synced as well: {line}")
            elif call.startswith(("fdatasync(", "<... fdatasync resumed>")) and call.endswith("= 0"):
                unsynced, syncs = "", syncs + 1
            elif call.startswith(("write", "send")) and has_reply(call):
                replies += 1
                self.assertFalse(unsynced, f"a reply before the sync: {line}")
        self.assertGreaterEqual(replies, WRITES)
        self.assertGreaterEqual(syncs, WRITES)
