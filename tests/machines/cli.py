"""The command `cluster`: bring a cluster up, work in it, run conformance specs against it, end it."""

import argparse
import os
import sys
from pathlib import Path

from . import parts, paths, state
from .cluster import STAGES, Cluster
from .shell import Failure


def say(text: str) -> None:
    """Progress goes to standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def archive() -> Path:
    """The image archive; makes programs, trees and images if they are missing."""
    sys.path.insert(0, str(paths.CONFORMANCE))
    import images  # noqa: PLC0415

    return images.ensure()


def up(options: argparse.Namespace) -> None:
    """Brings a cluster up and leaves it running."""
    chosen = parts.parse(options.parts)
    images = archive()
    cluster = Cluster.create(options.name, chosen, nodes=options.nodes, binaries=options.bin, port=options.port, arguments=options.arg)
    try:
        cluster.up(images, options.until, say)
    except BaseException as error:
        if isinstance(error, Failure) and not options.clean_on_failure:
            cluster.hand_over()
            raise Failure(f"{error}\n\nThe cluster is left as it is, to look into it: cluster down {options.name} ends it.") from error
        cluster.down()
        raise
    cluster.hand_over()
    say(f"cluster {options.name} is up: {' '.join(f'{part}={choice}' for part, choice in chosen.items())}")
    print(f"export KUBECONFIG={cluster.folder / 'share/pki/host.conf'}")


def down(options: argparse.Namespace) -> None:
    """Ends clusters."""
    for name in options.names or ([] if not options.all else state.names()):
        if state.load(name):
            Cluster(name).down()
        else:
            state.remove(name)
        say(f"cluster {name} is gone")


def listing(_options: argparse.Namespace) -> None:
    """Prints the running clusters."""
    for name in state.names():
        value = state.load(name)
        owner = value.get("owner")
        kept = "kept until `down`" if value and owner is None else "leftover" if state.is_leftover(name) else f"owned by process {owner['pid']}"
        print(f"{name}\t{value.get('nodes')} nodes\t10.{77 + value.get('number', 0)}.0.0/24\t{kept}\t{value.get('parts')}")


def shell(options: argparse.Namespace) -> None:
    """Runs a command in a machine."""
    machine = Cluster(options.name).machines.get(options.machine)
    if machine is None:
        raise Failure(f"cluster {options.name} has no machine {options.machine}")
    command = machine.enter(options.command or ["bash", "-l"])
    os.execvp(command[0], command)


def kubectl(options: argparse.Namespace) -> None:
    """Runs kubectl as an administrator."""
    command = Cluster(options.name).inside(["kubectl", *options.command])
    os.execvp(command[0], command)


def logs(options: argparse.Namespace) -> None:
    """Shows a part's journal."""
    cluster = Cluster(options.name)
    node = next((node for node in cluster.nodes if node.name == options.machine), cluster.nodes[0])
    units = [word for unit in cluster.units(node, options.part) for word in ("-u", unit.name)]
    command = cluster.machines[node.name].enter(["journalctl", "--no-pager", *(["-f"] if options.follow else ["-n", options.lines]), *units])
    os.execvp(command[0], command)


def restart(options: argparse.Namespace) -> None:
    """Writes a part's settings again and restarts it on every node, after its program was built anew."""
    cluster = Cluster(options.name)
    for node in cluster.nodes:
        cluster.start_units(node, options.parts)


def swap(options: argparse.Namespace) -> None:
    """Exchanges parts of a running cluster."""
    chosen = parts.parse(options.parts)
    named = {word.split("=")[0] for word in options.parts.split(",")}
    Cluster(options.name).swap({part: choice for part, choice in chosen.items() if part in named or "all" in named})


def clean(_options: argparse.Namespace) -> None:
    """Removes what dead owners left; every other command does so too before it starts."""
    say("nothing else is left")


def conformance(options: argparse.Namespace) -> None:
    """Runs specs against a cluster that is up."""
    from . import conformance as suite  # noqa: PLC0415

    sys.exit(suite.main(Cluster(options.name), options))


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="cluster", description="Test clusters on machines of this host.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action, text: str, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        if named:
            sub.add_argument("name", metavar="NAME", help="the cluster's name")
        return sub

    sub = command("up", up, "brings a cluster up", named=False)
    sub.add_argument("--name", required=True, help="lower case letters and digits; machines, namespaces and groups carry it")
    sub.add_argument("--parts", default="all=upstream", help=f"PART=ours|upstream|none,… of all, {', '.join(parts.NAMES)}")
    sub.add_argument("--bin", type=Path, help="the folder with k3s-rs-NAME programs; seen in the machines as it is, so it may be built into")
    sub.add_argument("--nodes", type=int, default=2, help="machines; the first has the control plane (default 2)")
    sub.add_argument("--until", choices=STAGES, default="dns", help="how far to wait (default dns)")
    sub.add_argument("--port", type=int, help="port of the API server on the host's 127.0.0.1 (default 16443 + the cluster's number)")
    sub.add_argument("--arg", action="append", default=[], metavar="PART=ARGUMENT", help="one more argument for a part's program")
    sub.add_argument("--clean-on-failure", action="store_true", help="remove the cluster if it does not come up")
    sub = command("down", down, "ends clusters", named=False)
    sub.add_argument("names", nargs="*", metavar="NAME")
    sub.add_argument("--all", action="store_true", help="every cluster of this host")
    command("list", listing, "shows running clusters", named=False)
    command("clean", clean, "removes what dead runs left", named=False)
    sub = command("sh", shell, "runs a command in a machine (default: a shell)")
    sub.add_argument("machine", help="n1, n2, …")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("kubectl", kubectl, "runs kubectl as an administrator")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = command("logs", logs, "shows a part's journal")
    sub.add_argument("part", help=f"{', '.join(parts.NAMES)} or containerd")
    sub.add_argument("machine", nargs="?", default="n1")
    sub.add_argument("-f", "--follow", action="store_true")
    sub.add_argument("-n", "--lines", default="50")
    sub = command("restart", restart, "restarts parts, their settings written anew")
    sub.add_argument("parts", nargs="+", metavar="PART")
    sub = command("swap", swap, "exchanges parts of a running cluster")
    sub.add_argument("parts", help="PART=ours|upstream|none,…")
    sub = command("conformance", conformance, "runs conformance specs against a cluster that is up")
    sub.add_argument("--focus", default="", help="regular expression over spec names")
    sub.add_argument("--skip", default="", help="regular expression over spec names")
    sub.add_argument("--sig", action="append", default=[], help="node, network, apps, …; may be repeated")
    sub.add_argument("--procs", type=int, default=4, help="specs at a time; [Serial] ones always run alone (default 4)")
    sub.add_argument("--repeat", type=int, default=1, help="times to run the whole selection")
    sub.add_argument("--fast", action="store_true", help="the subset of tests/conformance/fast.txt")
    sub.add_argument("--out", type=Path, help="folder for results (default: a new one in the cache)")
    sub.add_argument("--update-list", action="store_true", help="take specs that pass out of the list of known failures")
    return parser


def main() -> int:
    """Parses, sweeps leftovers, acts."""
    options = arguments().parse_args()
    try:
        for name in state.sweep():
            say(f"removed what was left of cluster {name}")
        options.action(options)
    except Failure as failure:
        say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
