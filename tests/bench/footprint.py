"""Start and footprint: time to ready, resident memory after ready, size of the program.

    K3S_RS_BIN=DIR python3 tests/bench/footprint.py      DIR has programs of the release profile
"""

import os
import time
from pathlib import Path

from frame import Bench, Side
from spine.plane import Daemon, Plane


def sizes(daemon: Daemon) -> int:
    """The program's size in KiB."""
    program = next(word for word in daemon.command if word.startswith("/"))
    return Path(program).stat().st_size >> 10


def main() -> None:
    rows: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    programs: dict[tuple[str, str], int] = {}
    for _ in range(3):
        for make in ("ours", "upstream"):
            with Plane() as plane:
                begin = time.monotonic()
                store = plane.store(make)
                store.facts["ready"] = time.monotonic() - begin
                server = plane.apiserver(make, store)
                for part, daemon in (("datastore / etcd", store), ("apiserver / kube-apiserver", server)):
                    rows.setdefault((part, make), []).append((daemon.facts["ready"], daemon.cpu(), daemon.rss()))
                    programs[part, make] = sizes(daemon)
    out = ["| | ready after s | CPU until ready s | resident MiB | program MiB |", "|---|---|---|---|---|"]
    for (part, make), found in sorted(rows.items()):
        ready, cpu, rss = (sorted(values)[len(found) // 2] for values in zip(*found, strict=True))
        out.append(f"| {part}, {make} | {ready:.2f} | {cpu:.2f} | {rss / 1024:.1f} | {programs[part, make] / 1024:.1f} |")
    bench = Bench("footprint", [Side("none", [])], lines=out)
    bench.table = lambda: []  # type: ignore[method-assign]
    bench.write()


if "K3S_RS_BIN" not in os.environ:
    raise SystemExit("K3S_RS_BIN is not set: it names the folder with our programs")
main()
