"""100,000 pods on one etcd: what holding and listing them costs each API server.

    K3S_RS_BIN=DIR python3 tests/bench/pods.py [COUNT]

Ours writes the pods; then each server starts on the filled store, and is asked in turn.
"""

import sys
import time

from frame import Bench, Side, load
from spine.plane import Plane


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with Plane() as plane:
        store = plane.store("upstream")
        writer = plane.apiserver("ours", store)
        begin = time.monotonic()
        load(writer, "create", n=count, clients=16)
        filled = time.monotonic() - begin
        writer.stop()
        sides = []
        lines = []
        for make in ("ours", "upstream"):
            server = plane.apiserver(make, store)
            server.facts["label"] = "apiserver" if make == "ours" else "kube-apiserver"
            side = Side(make, [server])
            load(server, "list", n=1, clients=1)
            lines.append(f"Start on the filled store until the first LIST is answered, {make}: {server.cpu():.1f} s CPU, {server.rss() >> 10} MiB resident, peak {server.peak() >> 10} MiB.")
            sides.append(side)
        bench = Bench("pods", sides, lines=[f"{count} pods, written through ours in {filled:.0f} s.", "", *lines])
        name = f"LIST all {count:,} pods"
        operations = {
            f"{name}, JSON": lambda side: load(side.daemons[0], "list", n=3, clients=1),
            f"{name}, protobuf": lambda side: load(side.daemons[0], "list", n=3, clients=1, accept="application/vnd.kubernetes.protobuf"),
        }
        for what, operation in operations.items():
            bench.turn(what, operation)
        bench.turn("GET a pod", lambda side: load(side.daemons[0], "get", n=2000))
        bench.lines.append("Ours keeps what it compressed: the first list of a form makes the pieces, later ones, which the medians are of, copy them.")
        for what, operation in operations.items():
            bench.profile(what, operation)
        bench.lines.append("")
        for side in sides:
            server = side.daemons[0]
            bench.lines.append(f"Resident at the end, {side.name}: {server.rss() >> 10} MiB, peak {server.peak() >> 10} MiB.")
        bench.write()


main()
