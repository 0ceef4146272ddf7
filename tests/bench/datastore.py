"""Stores: durable creates, ranges and watches, ours beside etcd: throughput and processor time.

    K3S_RS_BIN=DIR python3 tests/bench/datastore.py      DIR has k3s-rs-datastore and store of the release profile
"""

import itertools
import json

from frame import Bench, Side
from spine.plane import Daemon, Plane, ours


def ask(plane: Plane, store: Daemon, kind: str, *words: object) -> dict:
    """One run of the load program."""
    return json.loads(plane.run([str(ours("store")), kind, store.endpoint, *map(str, words)]))


def main() -> None:
    run = itertools.count()
    with Plane() as plane:
        sides = []
        for make in ("ours", "upstream"):
            store = plane.store(make)
            store.facts["label"] = "datastore" if make == "ours" else "etcd"
            sides.append(Side(make, [store]))
        bench = Bench("datastore", sides)
        for clients in (1, 50):
            bench.turn(f"durable create of 1 KB, {clients} clients", lambda side, n=clients: ask(plane, side.daemons[0], "creates", n, 4, f"c{next(run)}"))
            for side in sides:
                rates = sorted(row["count"] / row["seconds"] for row in side.rows[f"durable create of 1 KB, {clients} clients"])
                bench.lines.append(f"{clients} clients, {side.name}: {rates[len(rates) // 2]:.0f} durable creates a second.")
        for side in sides:
            ask(plane, side.daemons[0], "watch", 1, 5000, "range")
        bench.turn("range of 5,000 keys of 1 KB in pages of 500", lambda side: ask(plane, side.daemons[0], "ranges", "/bench/range/", 500, 20))
        bench.turn("event to one of 100 watchers", lambda side: ask(plane, side.daemons[0], "watch", 100, 200, f"w{next(run)}"))
        bench.profile("50 clients", lambda side: ask(plane, side.daemons[0], "creates", 50, 4, f"c{next(run)}"))
        bench.lines += [f"Resident at the end, {side.name}: {side.daemons[0].rss() >> 10} MiB, peak {side.daemons[0].peak() >> 10} MiB." for side in sides]
        bench.write()


main()
