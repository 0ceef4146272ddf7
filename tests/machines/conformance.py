"""Runs upstream's conformance specs against a cluster and judges the results.

A spec that fails must stand in the list of known failures of this mix of parts; there are no retries.
"""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import parts, paths
from .cluster import Cluster
from .shell import Failure
from .shell import run as run_program

REFERENCE = paths.CONFORMANCE / "reference.tsv"
FAST = paths.CONFORMANCE / "fast.txt"
SIG = re.compile(r"\[sig-([a-z-]+)\]")
DOT = "•"
SUITE_TIMEOUT = "4h"
MARGIN_SECONDS = 3


@dataclass
class Spec:
    """One spec of the suite: what it took on upstream's own cluster, and what it did in this run."""

    name: str
    reference: float | None = None
    result: str = "not run"
    seconds: float = 0.0
    begin: str = ""
    end: str = ""
    output: list[str] = field(default_factory=list)

    @property
    def sig(self) -> str:
        """The special interest group in the spec's name."""
        found = SIG.search(self.name)
        return found[1] if found else "none"

    @property
    def ratio(self) -> float:
        """Seconds compared with upstream's; short specs are not told apart below two seconds."""
        return self.seconds / max(self.reference, 2.0) if self.reference is not None else 0.0

    @property
    def passed(self) -> bool:
        """Whether the spec ran and passed."""
        return self.result == "passed"


def reference() -> dict[str, float]:
    """Every conformance spec and the seconds it took on upstream's own cluster."""
    rows = [line.split("\t") for line in REFERENCE.read_text().splitlines() if not line.startswith("#")]
    return {row[1]: float(row[5]) for row in rows}


def names_in(path: Path) -> list[str]:
    """The specs named in a list; lines with # are comments."""
    if not path.exists():
        return []
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def every_spec() -> list[str]:
    """All specs of upstream's suite, conformance or not."""
    text = run_program([str(paths.programs() / "e2e.test"), "--list-tests"])
    return re.findall(r"^\s+\S+\.go:\d+: (\[sig-.*\S)\s*$", text, re.MULTILINE)


def select(options, failing: Collection[str] = ()) -> list[Spec]:
    """The conformance specs the options ask for but those known to fail, all of them if none asks; with --any, of all specs."""
    known = reference()
    chosen = names_in(FAST) if options.fast else every_spec() if options.any else list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown and not options.any:
        raise Failure(f"{FAST.name} names specs the suite does not have: {unknown}")
    if options.focus:
        chosen = [name for name in chosen if re.search(options.focus, name)]
    if options.skip:
        chosen = [name for name in chosen if not re.search(options.skip, name)]
    if options.sig:
        wanted = {sig.removeprefix("sig-") for sig in options.sig}
        chosen = [name for name in chosen if Spec(name).sig in wanted]
    chosen = [name for name in chosen if name not in failing]
    if not chosen:
        raise Failure("no conformance spec matches")
    return [Spec(name, known.get(name)) for name in chosen]


def list_file(chosen: dict[str, str]) -> Path:
    """The known failures of a mix of parts: failing.txt when all are ours, else failing-PART+PART.txt, failing-none.txt."""
    ours = [part for part in parts.NAMES if chosen[part] == "ours"]
    name = "failing" if len(ours) == len(parts.NAMES) else f"failing-{'+'.join(ours) or 'none'}"
    return paths.CONFORMANCE / f"{name}.txt"


def run(cluster: Cluster, specs: list[Spec], procs: int, out: Path) -> None:
    """One run of the selected specs; fills in their results."""
    out.mkdir(parents=True, exist_ok=True)
    focus = [] if len(specs) > 400 and all(spec.reference is not None for spec in specs) else [f"--focus={re.escape(spec.name)}$" for spec in specs]
    if not focus:
        left_out = set(reference()) - {spec.name for spec in specs}
        focus = [r"--focus=\[Conformance\]", *(f"--skip={re.escape(name)}$" for name in sorted(left_out))]
    suite = str(paths.programs() / "e2e.test")
    ginkgo = [str(paths.programs() / "ginkgo"), "--no-color", f"--procs={min(procs, len(specs))}", f"--timeout={SUITE_TIMEOUT}"]
    ginkgo += ["--json-report=report.json", f"--output-dir={out}", *focus, suite, "--"]
    flags = ["--provider=skeleton", f"--kubeconfig={cluster.folder / 'share/pki/admin.conf'}", f"--num-nodes={len(cluster.nodes)}"]
    flags += [f"--kubectl-path={paths.programs() / 'kubectl'}", "--allowed-not-ready-nodes=0"]
    flags += ["--node-schedulable-timeout=1m", "--system-pods-startup-timeout=1m"]
    with open(out / "e2e.log", "w", encoding="utf-8") as log:
        # If this process dies the suite is told to end: its cluster may be one that is kept.
        command = ["setpriv", "--pdeathsig", "TERM", *cluster.inside([*ginkgo, *flags])]
        process = subprocess.Popen(command, cwd=out, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace")
        try:
            follow(process, log, len(specs))
        finally:
            end(process)
    report = out / "report.json"
    if not report.exists():
        raise Failure(f"the suite ended with status {process.returncode} and no report; see {out / 'e2e.log'}\n{tail(out / 'e2e.log')}")
    read(report, specs)


def end(process: subprocess.Popen) -> None:
    """Waits for the suite; one that still runs is told to end, and killed if it does not listen."""
    if process.poll() is None and sys.exc_info()[0]:
        process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def follow(process: subprocess.Popen, log, total: int) -> None:
    """Copies the suite's output to a file and shows each end of a spec: ginkgo prints a dot for it."""
    progress, line = Progress(total), ""
    while letter := process.stdout.read(1):
        log.write(letter)
        if letter == DOT:
            progress.one_more()
        if letter != "\n":
            line += letter
            continue
        log.flush()
        if line.lstrip().startswith("[FAIL] "):
            break
        if line.startswith(f"{DOT} [FAILED]"):
            progress.failed += 1
        elif line.lstrip().startswith("[FAILED] ") and not line.lstrip().startswith("[FAILED] in ["):
            progress.say(line.strip()[:300])
        line = ""
    progress.show()
    log.write(process.stdout.read())


class Progress:
    """A line that renews itself on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int):
        self.total, self.done, self.failed = total, 0, 0
        self._begin = self._shown = time.monotonic()

    def one_more(self) -> None:
        """One more spec has ended."""
        self.done += 1
        if sys.stdout.isatty():
            print(f"\r{self._text()}", end="", flush=True)
        elif time.monotonic() - self._shown > 15:
            self.show()

    def show(self) -> None:
        """Prints where the run is, as a line."""
        self._shown = time.monotonic()
        print(f"\r{self._text()}" if sys.stdout.isatty() else self._text(), flush=True)

    def say(self, text: str) -> None:
        """Prints a line of news."""
        print(f"\n{text}" if sys.stdout.isatty() else text, flush=True)

    def _text(self) -> str:
        return f"{time.monotonic() - self._begin:6.0f} s  {self.done}/{self.total} specs, {self.failed} failed"


def read(report: Path, specs: list[Spec]) -> None:
    """Takes the results from ginkgo's report."""
    by_name = {spec.name: spec for spec in specs}
    suites = json.loads(report.read_text())
    broken = [reason for suite in suites for reason in suite.get("SpecialSuiteFailureReasons") or []]
    for suite in suites:
        for entry in suite["SpecReports"] or []:
            name = " ".join([*(entry["ContainerHierarchyTexts"] or []), entry["LeafNodeText"]])
            if entry["LeafNodeType"] != "It":
                if entry["State"] not in ("passed", "skipped", "pending"):
                    broken.append(f"{entry['LeafNodeType']}: {entry.get('Failure', {}).get('Message', '')}"[:2000])
                continue
            if name in by_name and entry["State"] not in ("skipped", "pending"):
                fill(by_name[name], entry)
    if broken and not any(spec.result != "not run" for spec in specs):
        raise Failure("the suite ran no spec: " + "; ".join(broken))


def fill(spec: Spec, entry: dict) -> None:
    """One spec's result; over several runs the worst counts, and the longest time."""
    if spec.result in ("not run", "passed"):
        spec.result = entry["State"]
    spec.seconds = max(spec.seconds, entry["RunTime"] / 1e9)
    if entry["State"] != "passed":
        spec.begin, spec.end = entry["StartTime"], entry["EndTime"]
        failure = entry.get("Failure", {})
        where = failure.get("Location", {})
        spec.output = [
            failure.get("Message", ""), f"{where.get('FileName')}:{where.get('LineNumber')}", where.get("FullStackTrace", ""),
            "", entry.get("CapturedGinkgoWriterOutput", ""), entry.get("CapturedStdOutErr", ""),
        ]


def keep_failures(cluster: Cluster, specs: list[Spec], out: Path) -> None:
    """For each failed spec a folder with its output (events included) and what every unit logged meanwhile."""
    for spec in specs:
        if spec.passed or not spec.begin:
            continue
        folder = out / "failed" / re.sub(r"[^A-Za-z0-9]+", "-", spec.name).strip("-")[:120]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "output.txt").write_text("\n".join([spec.name, "", *spec.output]))
        since, until = moment(spec.begin, -MARGIN_SECONDS), moment(spec.end, MARGIN_SECONDS)
        for node in cluster.nodes:
            command = f"journalctl --utc --no-pager -o short-precise --since '{since}' --until '{until}'"
            text = cluster.machines[node.name].execute(command, check_return=False)[1]
            (folder / f"journal-{node.name}.txt").write_text(text)


def moment(text: str, seconds: int) -> str:
    """A time of ginkgo's report, moved by some seconds, as journalctl takes it."""
    zone = text[-6:] if text[-6] in "+-" else "+00:00"
    moved = datetime.fromisoformat(text[:19] + zone) + timedelta(seconds=seconds)
    return f"{moved.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def table(specs: list[Spec]) -> str:
    """All specs, the worst first."""
    order = sorted(specs, key=lambda spec: (spec.passed, -spec.ratio, spec.name))
    rows = ["# result\tseconds\treference\tratio\tspec"]
    rows += [f"{spec.result}\t{spec.seconds:.1f}\t{spec.reference or 0:.1f}\t{spec.ratio:.2f}\t{spec.name}" for spec in order]
    return "\n".join(rows) + "\n"


def summary(specs: list[Spec]) -> str:
    """Passed and total of each SIG."""
    total, good = Counter(spec.sig for spec in specs), Counter(spec.sig for spec in specs if spec.passed)
    return "\n".join(f"  {good[sig]:4} of {count:4}  sig-{sig}" for sig, count in sorted(total.items()))


def judge(specs: list[Spec], known: Path, update: bool) -> list[Spec]:
    """The failures that are not in the list; what passes leaves the list."""
    listed = names_in(known)
    unlisted = [spec for spec in specs if not spec.passed and spec.name not in listed]
    mended = {spec.name for spec in specs if spec.passed} & set(listed)
    if mended:
        print(f"{len(mended)} of {known.name} pass now" + (" and leave it:" if update else ":"))
        print("\n".join(f"  {name}" for name in sorted(mended)))
    if mended and update:
        lines = known.read_text().splitlines(keepends=True)
        known.write_text("".join(line for line in lines if line.strip() not in mended))
    return unlisted


def main(cluster: Cluster, options) -> int:
    """Runs, writes the table, judges; the exit status."""
    specs = select(options, names_in(list_file(cluster.chosen)) if options.passing else ())
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    out = (options.out or paths.results() / f"{cluster.name}-{stamp}").resolve()
    mix = " ".join(f"{part}={choice}" for part, choice in cluster.chosen.items())
    print(f"{len(specs)} conformance specs on cluster {cluster.name} ({mix}), {options.procs} at a time; results in {out}", flush=True)
    for turn in range(options.repeat):
        folder = out if options.repeat == 1 else out / f"run-{turn + 1}"
        run(cluster, specs, options.procs, folder)
    keep_failures(cluster, specs, out)
    (out / "results.tsv").write_text(table(specs))
    unlisted = judge(specs, list_file(cluster.chosen), options.update_list)
    print(summary(specs))
    slow = sorted((spec for spec in specs if spec.passed and spec.ratio > 2), key=lambda spec: -spec.ratio)[:10]
    for spec in slow:
        print(f"  slow: {spec.seconds:.1f} s, {spec.ratio:.1f} times the reference: {spec.name}")
    for spec in specs:
        if not spec.passed:
            mark = "" if spec in unlisted else " (known)"
            print(f"  {spec.result}{mark}: {spec.name}")
    passed = sum(spec.passed for spec in specs)
    print(f"{passed} passed, {len(specs) - passed} failed ({len(unlisted)} not in {list_file(cluster.chosen).name}); table: {out / 'results.tsv'}")
    return 1 if unlisted else 0


def tail(path: Path, size: int = 3000) -> str:
    """The end of a file."""
    return path.read_text(errors="replace")[-size:]
