"""The cluster's parts, one file each: what upstream's program and ours need to run in a machine.

A part's file has `NODES` ("server" or "all") and two functions, `upstream(cluster, node)` and `ours(cluster, node)`, each
returning the units of one node. `cluster` is a `parts.base.Facts`: addresses, paths, ranges.
"""

import importlib
from pathlib import Path

from ..shell import Failure
from .base import Facts, Node, Unit

NAMES = ("datastore", "apiserver", "controller", "scheduler", "kubelet", "proxy", "network")
CHOICES = ("ours", "upstream", "none")


def parse(text: str) -> dict[str, str]:
    """`all=upstream,kubelet=ours`, or `@FILE` with a word a line, as a choice for each part; one not named is upstream's."""
    chosen = dict.fromkeys(NAMES, "upstream")
    for word in words(text):
        name, _, choice = word.partition("=")
        if choice not in CHOICES or name not in (*NAMES, "all"):
            raise Failure(f"{word!r}: parts are {', '.join(NAMES)} or all; choices are {', '.join(CHOICES)} (all=upstream,kubelet=ours)")
        chosen.update(dict.fromkeys(NAMES, choice) if name == "all" else {name: choice})
    return chosen


def words(text: str) -> list[str]:
    """The words of a description; in a file they may stand on lines of their own, with comments after #."""
    if text.startswith("@"):
        try:
            lines = Path(text[1:]).read_text().splitlines()
        except OSError as error:
            raise Failure(f"cannot read the description of parts: {error}") from error
        text = ",".join(line.split("#")[0] for line in lines)
    return [word.strip() for word in text.split(",") if word.strip()]


def units(part: str, choice: str, facts: Facts, node: Node) -> list[Unit]:
    """The units one part wants on one node."""
    module = importlib.import_module(f"{__name__}.{part}")
    if choice == "none" or (module.NODES == "server" and not node.server):
        return []
    return getattr(module, choice)(facts, node)


def binaries(chosen: dict[str, str]) -> list[str]:
    """The programs of ours a choice needs."""
    names = {"network": "flannel"}
    return [f"k3s-rs-{names.get(part, part)}" for part in NAMES if chosen[part] == "ours"]
