"""`python3 -m parity` (from tests/): compares ours with the real kube-apiserver; see README.md."""

import argparse
import fnmatch
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from spine.plane import Plane

from . import corpus, report
from .compare import differences
from .server import Server


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="parity", description="Compares our API server's answers with kube-apiserver's.")
    parser.add_argument("--bin", help="folder with k3s-rs-datastore and k3s-rs-apiserver")
    parser.add_argument("--only", default="*", help="cases to run, a shell pattern: 'kind/pods'")
    parser.add_argument("--real", action="store_true", help="compare the real server with another of its kind: judges the comparison itself")
    parser.add_argument("--write", action="store_true", help="write differences.txt; without it a difference not listed there fails the run")
    parser.add_argument("--check", action="store_true", help="also fail when a listed difference is gone or has no cause: the list may only shrink")
    parser.add_argument("--show", action="store_true", help="print every difference, also those listed")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if given.bin:
        os.environ["K3S_RS_BIN"] = given.bin
    cases = [case for case in corpus.all_cases() if fnmatch.fnmatch(case.name, given.only)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Plane() as plane, Plane() as other:
        real, ours = Server(plane, "upstream"), Server(other, "upstream" if given.real else "ours")
        begin = time.monotonic()
        found = compare(real, ours, cases)
        seconds = time.monotonic() - begin
    print(report.matrix(cases))
    print(f"{sum(len(case.steps) for case in cases)} steps in {len(cases)} cases, {seconds:.0f} s")
    return report.judge(found, whole=given.only == "*", listed=not given.real, write=given.write, show=given.show, check=given.check)


def compare(real: Server, ours: Server, cases: list[corpus.Case]) -> list[report.Difference]:
    """All differences, in the order of the cases; both servers get the same steps at the same time."""
    def one(case: corpus.Case) -> list[report.Difference]:
        with ThreadPoolExecutor(2) as pair:
            answers = [pair.submit(server.run, case) for server in (real, ours)]
            steps = zip(case.steps, answers[0].result(), answers[1].result(), strict=True)
        return [report.Difference(f"{case.name}: {step.title}", *found) for step, left, right in steps for found in differences(left, right)]

    with ThreadPoolExecutor(int(os.environ.get("PARITY_CASES", "6"))) as pool:
        together = pool.map(one, [case for case in cases if not case.alone])
        found = [difference for differences in together for difference in differences]
    return found + [difference for case in cases if case.alone for difference in one(case)]


sys.exit(main())
