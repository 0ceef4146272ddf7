"""What all benches share: both sides in turn, medians, processor time from /proc, one table, one file of results.

A bench names its sides, each a list of daemons whose cost counts; `Bench.turn` runs one operation on every side, several
rounds in turn, so that whatever else the machine does burdens all alike.
"""

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spine import plane  # noqa: E402
from spine.plane import Daemon  # noqa: E402

RESULTS = Path(__file__).parent / "results"


@dataclass
class Side:
    """One of what is compared."""

    name: str
    daemons: list[Daemon]
    rows: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def cpu(self) -> list[float]:
        """Seconds each daemon has used."""
        return [daemon.cpu() for daemon in self.daemons]


@dataclass
class Bench:
    """A topic with its sides and what was measured."""

    topic: str
    sides: list[Side]
    lines: list[str] = field(default_factory=list)

    def turn(self, what: str, operation: Callable[[Side], dict], rounds: int = 3) -> None:
        """Runs an operation on each side in turn; its `count` divides the processor time."""
        for number in range(rounds):
            for side in self.sides:
                before = side.cpu()
                found = operation(side)
                before = found.pop("since", before)
                spent = [after - start for after, start in zip(side.cpu(), before, strict=True)]
                found["cpu"] = [1000 * seconds / found["count"] for seconds in spent]
                side.rows.setdefault(what, []).append(found)
                print(f"{what} {number + 1}/{rounds} {side.name}: {found}", file=sys.stderr, flush=True)

    def profile(self, what: str, operation: Callable[[Side], dict], symbols: int = 12) -> None:
        """Where our side spends an operation's time, by what the kernel's sampler saw; nothing where there is none."""
        side = self.sides[0]
        if not shutil.which("perf"):
            return
        with tempfile.TemporaryDirectory() as folder:
            data = f"{folder}/perf.data"
            pids = ",".join(str(daemon.pid) for daemon in side.daemons)
            recorder = subprocess.Popen(["perf", "record", "-q", "-F", "999", "-o", data, "-p", pids], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            operation(side)
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
            report = ["perf", "report", "-i", data, "--stdio", "-g", "none", "--percent-limit", "0.5"]
            found = {sort: subprocess.run([*report, "--sort", sort], capture_output=True, text=True, check=False).stdout for sort in ("dso", "sym")}
        rows = {sort: [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")] for sort, text in found.items()}
        parts = ", ".join(f"{name.strip()} {share}" for share, name in rows["dso"][:5])
        top = "; ".join(f"{share} `{name.split(maxsplit=1)[-1].strip()[:90]}`" for share, name in rows["sym"][:symbols])
        self.lines += ["", f"Where ours spends its time, {what}: {parts}.", "", top]

    def median(self, side: Side, what: str, key: str) -> float:
        """The middle of the rounds."""
        return statistics.median(row[key] for row in side.rows[what])

    def cpu(self, side: Side, what: str) -> list[float]:
        """Milliseconds per operation of each daemon, the middle of the rounds."""
        return [statistics.median(values) for values in zip(*(row["cpu"] for row in side.rows[what]), strict=True)]

    def table(self) -> list[str]:
        """One line per operation."""
        names = [f"{side.name}: {' + '.join(daemon.facts.get('label', daemon.name) for daemon in side.daemons)}, ms CPU" for side in self.sides]
        out = [f"| per operation | {' | '.join(names)} | ratio | {' | '.join(f'{side.name} p50 ms' for side in self.sides)} |"]
        out.append("|" + "---|" * (2 * len(self.sides) + 2))
        for what in self.sides[0].rows:
            costs = [self.cpu(side, what) for side in self.sides]
            cells = [" + ".join(figure(value) for value in cost) for cost in costs]
            ratio = sum(costs[-1]) / max(sum(costs[0]), 1e-9)
            latency = [figure(self.median(side, what, "p50_ms")) if "p50_ms" in side.rows[what][0] else "" for side in self.sides]
            out.append(f"| {what} | {' | '.join(cells)} | {ratio:.1f} | {' | '.join(latency)} |")
        return out

    def write(self, *more: str) -> None:
        """Prints the result and keeps it."""
        text = "\n".join([f"# {self.topic}", "", machine(), "", *self.table(), "", *self.lines, *more]) + "\n"
        print(text)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.topic}.md").write_text(text)


def machine() -> str:
    """Where it was measured."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    load = os.getloadavg()[0]
    return f"Release profile, {os.cpu_count()} processors, {memory} GiB, Linux {platform.release()}, load average {load:.0f} during the run; medians of the rounds."


def figure(value: float) -> str:
    """Three digits that count, and never an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def load(daemon: Daemon, kind: str, **options: object) -> dict:
    """Runs the load generator against an API server."""
    words = ["load", daemon.facts["kubeconfig"], kind, *(word for name, value in options.items() for word in (f"-{name}", str(value)))]
    return json.loads(plane.play(words, 1200))


def fan(side: Side, kind: str, **options: object) -> dict:
    """Runs a load that first opens watches: the cost counts from when they stand."""
    daemon = side.daemons[0]
    words = ["load", daemon.facts["kubeconfig"], kind, *(word for name, value in options.items() for word in (f"-{name}", str(value)))]
    process = subprocess.Popen([str(plane.program()), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout and process.stderr, "all are pipes"
    said = process.stderr.readline()
    if "standing" not in said:
        process.wait()
        raise plane.Failure(f"{kind}: {said}{process.stderr.read()}")
    before = side.cpu()
    standing = [d.rss() for d in side.daemons]
    process.stdin.write("go\n")
    process.stdin.flush()
    out, rest = process.communicate(timeout=600)
    if process.returncode:
        raise plane.Failure(f"{kind}: {rest}")
    return {**json.loads(out), "since": before, "rss": standing[0]}
