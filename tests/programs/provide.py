"""Provides scenarios with the programs of this folder: images in a machine, an interpreter with the Python client, a Rust program."""

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "conformance")]

import programs  # noqa: E402
from machines import paths  # noqa: E402
from machines.cluster import Cluster  # noqa: E402
from machines.machine import Machine  # noqa: E402
from machines.shell import Failure, run  # noqa: E402
from oci import Archive  # noqa: E402

# The images' names, each of one static program.
IMAGES = {
    "metrics-server": "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
    "client-go": "k3s-rs.test/client-go:1",
}
BIN = "/opt/upstream/bin"
# An installation has its own containerd where k3s has it.
SOCKETS = ("/run/k3s/containerd/containerd.sock", "/run/containerd/containerd.sock")
CTR = f"{BIN}/ctr --address $(test -S {SOCKETS[0]} && echo {SOCKETS[0]} || echo {SOCKETS[1]}) -n k8s.io images"


def go(*names: str) -> None:
    """Builds programs of Go modules; machines have them in /opt/upstream/bin."""
    programs.ensure(list(names))


def image(machine: Machine, name: str) -> str:
    """Puts a program's image into a machine's container runtime: the image's name."""
    go(name)
    with tempfile.TemporaryDirectory() as work:
        archive = Archive(Path(work))
        layer = archive.layer(name, lambda layer: layer.file(name, paths.programs() / name))
        archive.image([IMAGES[name]], [layer], Entrypoint=[f"/{name}"], User="65534")
        archive.write(Path(work) / "image.tar")
        machine.copy_from_host(f"{work}/image.tar", "/root/image.tar")
    machine.succeed(f"{CTR} import /root/image.tar", "rm /root/image.tar")
    return IMAGES[name]


def python() -> Path:
    """An interpreter that has what requirements.txt names; made anew when that changes."""
    wanted = (HERE / "python/requirements.txt").read_bytes()
    folder = paths.programs().parent / f"python-{hashlib.sha256(wanted).hexdigest()[:16]}"
    with paths.locked("python"):
        if not (folder / "complete").exists():
            run([sys.executable, "-m", "venv", "--clear", str(folder)])
            run([str(folder / "bin/python"), "-m", "pip", "install", "-q", "-r", str(HERE / "python/requirements.txt")], timeout=600)
            (folder / "complete").touch()
    return folder / "bin/python"


def rust(name: str) -> Path:
    """Builds a Rust program that is no member of the workspace, with the checkout's build directory."""
    slot = [str(HERE.parents[1] / ".ci/slot")]
    script = f'cargo build --locked --manifest-path {HERE / name}/Cargo.toml >&2 && echo "$CARGO_TARGET_DIR"'
    target = run([*slot, "sh", "-euc", script], timeout=3600).strip()
    return Path(target) / "debug" / f"k3s-rs-test-{name}"


@contextlib.contextmanager
def kubeconfig(machine: Machine) -> Iterator[Path]:
    """The administrator's kubeconfig of a machine, as a file of the host."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(machine.succeed("cat /root/.kube/config"))
        file.flush()
        yield Path(file.name)


def outside(cluster: Cluster, machine: Machine, command: list[str], timeout: float = 300) -> str:
    """Runs a program of the host in the first machine's network as the cluster's administrator: what it printed."""
    with kubeconfig(machine) as config:
        namespace = cluster.network.namespace(cluster.nodes[0].name)
        words = ["ip", "netns", "exec", namespace, "env", f"KUBECONFIG={config}", *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, env=dict(os.environ))
    if done.returncode:
        raise Failure(f"{shlex.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
