"""What the commands of `cluster` do."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import conformance as suite
from . import parts, paths, product, scenario, state
from .cluster import Cluster
from .shell import Failure


def say(text: str) -> None:
    """Progress goes to standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def archive(kind: str = "conformance") -> Path:
    """An image archive; makes programs, trees and images if they are missing."""
    sys.path.insert(0, str(paths.CONFORMANCE))
    import images  # noqa: PLC0415

    return images.ensure(kind)


def create(options: argparse.Namespace) -> Cluster:
    """Takes the name of a cluster as the options describe it."""
    machines = [f"n{index + 1}" for index in range(options.nodes)]
    chosen = parts.parse(options.parts)
    return Cluster.create(options.name, chosen, machines=machines, binaries=options.bin, port=options.port, arguments=options.arg)


@contextmanager
def owned(cluster: Cluster, keep: bool = False) -> Iterator[Cluster]:
    """A cluster that ends with the block, whatever happens in it, unless it is to be kept."""
    try:
        yield cluster
    except BaseException:
        if not keep:
            cluster.down()
        raise
    if keep:
        cluster.hand_over()
    else:
        cluster.down()


def run(options: argparse.Namespace) -> None:
    """Brings a cluster up, runs conformance specs against it, ends it."""
    images = archive()
    with owned(create(options), options.keep) as cluster:
        cluster.up(images, "dns", say)
        status = suite.main(cluster, options)
    sys.exit(status)


def binaries(options: argparse.Namespace) -> None:
    """Prints the programs of ours a mix of parts needs."""
    print("\n".join(parts.binaries(parts.parse(options.parts))))


def install(options: argparse.Namespace) -> None:
    """Boots machines with an installation of ours and starts its targets."""
    images = archive("basic")
    names = ["server", *(f"agent{index + 1}" for index in range(options.agents))]
    layers = [options.root, product.upstream()]
    cluster = Cluster.create(options.name, parts.parse("all=none"), machines=names, port=options.port, layers=layers)
    try:
        lines = product.up(cluster, images, say)
    except BaseException as error:
        if isinstance(error, Failure):
            cluster.hand_over()
            raise Failure(f"{error}\n\nThe machines are left as they are, to look into: cluster sh {options.name} server") from error
        cluster.down()
        raise
    cluster.hand_over()
    say("The cluster is up. To use it from this shell:")
    print("\n".join(lines), flush=True)
    say(f"A shell in a machine: tests/machines/cluster sh {options.name} server; the end of it all: cargo xtask down --name {options.name}")


def scenarios(options: argparse.Namespace) -> None:
    """Runs scenario files."""
    sys.exit(scenario.main(options.files, options.root, options.slow, options.keep))


def up(options: argparse.Namespace) -> None:
    """Brings a cluster up and leaves it running."""
    images = archive()
    cluster = create(options)
    try:
        cluster.up(images, options.until, say)
    except BaseException as error:
        if isinstance(error, Failure) and not options.clean_on_failure:
            cluster.hand_over()
            raise Failure(f"{error}\n\nThe cluster is left as it is, to look into it: cluster down {options.name} ends it.") from error
        cluster.down()
        raise
    cluster.hand_over()
    say(f"cluster {options.name} is up: {' '.join(f'{part}={choice}' for part, choice in cluster.chosen.items())}")
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
        print(f"{name}\t{' '.join(value.get('machines', []))}\t10.{77 + value.get('number', 0)}.0.0/24\t{kept}\t{value.get('parts')}")


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
    named = {word.split("=")[0] for word in parts.words(options.parts)}
    Cluster(options.name).swap({part: choice for part, choice in chosen.items() if part in named or "all" in named})


def clean(_options: argparse.Namespace) -> None:
    """Removes what dead owners left; every other command does so too before it starts."""
    say("nothing else is left")


def conformance(options: argparse.Namespace) -> None:
    """Runs specs against a cluster that is up."""
    sys.exit(suite.main(Cluster(options.name), options))
