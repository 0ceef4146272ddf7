"""What is printed and kept: the matrix of what is covered, and differences.txt, which may only shrink."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .corpus import Case

HERE = Path(__file__).resolve().parent
LISTED = HERE / "differences.txt"
CAUSES = HERE / "causes.tsv"


@dataclass(frozen=True)
class Difference:
    """One place where ours differs."""

    step: str
    path: str
    real: str
    ours: str

    def line(self) -> str:
        """As it stands in differences.txt."""
        return " | ".join((self.step, self.path, self.real, self.ours))


def matrix(cases: list[Case]) -> str:
    """Kinds down, verbs across; a cell is the number of steps."""
    kinds = [case for case in cases if case.kind]
    verbs = sorted({step.verb for case in kinds for step in case.steps})
    if not kinds:
        return ""
    width = max(len(case.kind) for case in kinds)
    lines = [" " * width + "  " + " ".join(verbs)]
    for case in kinds:
        counts = Counter(step.verb for step in case.steps)
        lines.append(case.kind.ljust(width) + "  " + " ".join(str(counts[verb] or ".").center(len(verb)) for verb in verbs))
    return "\n".join(lines)


def causes() -> list[tuple[re.Pattern, str]]:
    """Patterns over lines of differences.txt, and why those differences are."""
    rows = [line.split("\t") for line in CAUSES.read_text().splitlines() if "\t" in line]
    return [(re.compile(pattern), cause) for pattern, cause in rows]


def explain(lines: list[str]) -> Counter:
    """How many differences each cause has."""
    known = causes()
    return Counter(next((cause for pattern, cause in known if pattern.search(line)), "not explained") for line in lines)


def judge(found: list[Difference], *, whole: bool, listed: bool, write: bool, show: bool, check: bool = False) -> int:
    """Prints what is new and what is gone; 1 when something is new, with `check` also when a listed line is gone or unexplained."""
    lines = list(dict.fromkeys(difference.line() for difference in found))
    known = LISTED.read_text().splitlines() if listed and LISTED.exists() else []
    new = [line for line in lines if line not in set(known)]
    gone = [line for line in known if line not in set(lines)] if whole else []
    for line in lines if show else new:
        print(line)
    reasons = explain(lines)
    for cause, count in reasons.most_common():
        print(f"{count:6}  {cause}")
    if write and listed:
        LISTED.write_text("".join(f"{line}\n" for line in lines))
    steps = len({difference.step for difference in found})
    print(f"{len(lines)} differences in {steps} steps, {len(new)} not in differences.txt, {len(gone)} listed that are gone")
    if check and whole:
        return 1 if new or gone or reasons["not explained"] else 0
    return 1 if new and not write else 0
