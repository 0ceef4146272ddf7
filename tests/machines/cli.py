"""The command line of `cluster`."""

import argparse
from pathlib import Path

from . import commands, parts, state
from .cluster import STAGES
from .shell import Failure


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="cluster", description="Test clusters on machines of this host.")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action, text: str, named: bool = True) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        if named:
            sub.add_argument("name", metavar="NAME", help="the cluster's name")
        return sub

    sub = command("up", commands.up, "brings a cluster up", named=False)
    making(sub)
    sub.add_argument("--until", choices=STAGES, default="dns", help="how far to wait (default dns)")
    sub.add_argument("--clean-on-failure", action="store_true", help="remove the cluster if it does not come up")
    sub = command("run", commands.run, "brings a cluster up, runs conformance specs, ends it", named=False)
    making(sub)
    selecting(sub)
    sub.add_argument("--keep", action="store_true", help="leave the cluster up")
    sub = command("down", commands.down, "ends clusters", named=False)
    sub.add_argument("names", nargs="*", metavar="NAME")
    sub.add_argument("--all", action="store_true", help="every cluster of this host")
    command("list", commands.listing, "shows running clusters", named=False)
    command("clean", commands.clean, "removes what dead runs left", named=False)
    working(command)
    sub = command("conformance", commands.conformance, "runs conformance specs against a cluster that is up")
    selecting(sub)
    sub = command("binaries", commands.binaries, "prints the programs of ours a mix of parts needs", named=False)
    sub.add_argument("--parts", default="all=upstream")
    sub = command("product", commands.install, "boots machines with an installation of ours", named=False)
    sub.add_argument("--name", required=True)
    sub.add_argument("--root", type=Path, required=True, help="the installation: what `xtask install --destdir` made")
    sub.add_argument("--agents", type=int, default=0)
    sub.add_argument("--port", type=int)
    sub = command("scenarios", commands.scenarios, "runs scenario files (default: all that are not slow)", named=False)
    sub.add_argument("files", nargs="*", type=Path, metavar="FILE")
    sub.add_argument("--root", type=Path, help="the installation for scenarios that want one")
    sub.add_argument("--slow", action="store_true", help="slow ones too")
    sub.add_argument("--keep", action="store_true", help="leave the machines of a failed scenario up")
    return parser


def making(sub: argparse.ArgumentParser) -> None:
    """How a cluster is made."""
    sub.add_argument("--name", required=True, help="lower case letters and digits; machines, namespaces and groups carry it")
    sub.add_argument("--parts", default="all=upstream", help=f"PART=ours|upstream|none,… of all, {', '.join(parts.NAMES)}; or @FILE with these words")
    sub.add_argument("--bin", type=Path, help="the folder with k3s-rs-NAME programs; seen in the machines as it is, so it may be built into")
    sub.add_argument("--nodes", type=int, default=2, help="machines; the first has the control plane (default 2)")
    sub.add_argument("--port", type=int, help="port of the API server on the host's 127.0.0.1 (default the first free one from 16443)")
    sub.add_argument("--arg", action="append", default=[], metavar="PART=ARGUMENT", help="one more argument for a part's program")


def selecting(sub: argparse.ArgumentParser) -> None:
    """Which specs are run, and how."""
    sub.add_argument("--focus", default="", help="regular expression over spec names")
    sub.add_argument("--skip", default="", help="regular expression over spec names")
    sub.add_argument("--sig", action="append", default=[], help="node, network, apps, …; may be repeated")
    sub.add_argument("--procs", type=int, default=4, help="specs at a time; [Serial] ones always run alone (default 4)")
    sub.add_argument("--repeat", type=int, default=1, help="times to run the whole selection")
    sub.add_argument("--any", action="store_true", help="choose among all of upstream's specs, not only conformance (with --focus)")
    sub.add_argument("--fast", action="store_true", help="the subset of tests/conformance/fast.txt")
    sub.add_argument("--passing", action="store_true", help="leave out what stands in the list of known failures of this mix of parts")
    sub.add_argument("--out", type=Path, help="folder for results (default: a new one in the cache)")
    sub.add_argument("--update-list", action="store_true", help="take specs that pass out of the list of known failures")


def working(command) -> None:
    """What one does in a running cluster."""
    sub = command("sh", commands.shell, "runs a command in a machine (default: a shell)")
    sub.add_argument("machine", help="n1, n2, …")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("kubectl", commands.kubectl, "runs kubectl as an administrator")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("logs", commands.logs, "shows a part's journal")
    sub.add_argument("part", help=f"{', '.join(parts.NAMES)} or containerd")
    sub.add_argument("machine", nargs="?", default="n1")
    sub.add_argument("-f", "--follow", action="store_true")
    sub.add_argument("-n", "--lines", default="50")
    sub = command("restart", commands.restart, "restarts parts, their settings written anew")
    sub.add_argument("parts", nargs="+", metavar="PART")
    sub = command("swap", commands.swap, "exchanges parts of a running cluster")
    sub.add_argument("parts", help="PART=ours|upstream|none,…")


def main() -> int:
    """Parses, sweeps leftovers, acts."""
    options = arguments().parse_args()
    try:
        for name in state.sweep():
            commands.say(f"removed what was left of cluster {name}")
        options.action(options)
    except Failure as failure:
        commands.say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
