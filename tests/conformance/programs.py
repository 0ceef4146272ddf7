#!/usr/bin/env python3
"""Builds upstream's programs from the Go module mirror into the cache: what the reference cluster and the test images need.

    programs.py [NAME ...]      default: everything; prints the folder with the programs

Each folder under programs/ is a Go module that only names packages (tools.go) and pins versions (go.mod, go.sum).
A program is built again only when its module's files changed.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from machines import paths  # noqa: E402
from machines.shell import Failure, run  # noqa: E402

KUBERNETES_VERSION = "1.36.3"
K8S = "k8s.io/kubernetes"
ETCD = "go.etcd.io/etcd"
CONTAINERD = "github.com/containerd/containerd/v2/cmd"
CNI = "github.com/containernetworking/plugins/plugins"


@dataclass(frozen=True)
class Program:
    """One program: its module's folder under programs/, the package, and how it is built: `cgo` names build tags of one that has C in it."""

    module: str
    package: str
    test: bool = False
    optional: bool = False
    version: str = field(default=KUBERNETES_VERSION, repr=False)
    cgo: str = field(default="", repr=False)


PROGRAMS = {
    "kube-apiserver": Program("kubernetes", f"{K8S}/cmd/kube-apiserver"),
    "kube-controller-manager": Program("kubernetes", f"{K8S}/cmd/kube-controller-manager"),
    "kube-scheduler": Program("kubernetes", f"{K8S}/cmd/kube-scheduler"),
    "kubelet": Program("kubernetes", f"{K8S}/cmd/kubelet"),
    "kube-proxy": Program("kubernetes", f"{K8S}/cmd/kube-proxy"),
    "kubectl": Program("kubernetes", f"{K8S}/cmd/kubectl"),
    "e2e.test": Program("kubernetes", f"{K8S}/test/e2e", test=True),
    "ginkgo": Program("kubernetes", "github.com/onsi/ginkgo/v2/ginkgo"),
    "agnhost": Program("kubernetes", f"{K8S}/test/images/agnhost"),
    "nnp": Program("kubernetes", f"{K8S}/test/images/nonewprivs"),
    "sample-apiserver": Program("kubernetes", "k8s.io/sample-apiserver"),
    "sample-device-plugin": Program("kubernetes", f"{K8S}/test/images/sample-device-plugin", optional=True),
    "csi-mock": Program("kubernetes", "k3s-rs/tests/conformance/kubernetes/csi-mock", optional=True),
    "etcd": Program("etcd", f"{ETCD}/server/v3"),
    "etcdctl": Program("etcd", f"{ETCD}/etcdctl/v3"),
    "containerd": Program("containerd", f"{CONTAINERD}/containerd"),
    "containerd-shim-runc-v2": Program("containerd", f"{CONTAINERD}/containerd-shim-runc-v2"),
    "ctr": Program("containerd", f"{CONTAINERD}/ctr"),
    # Debian's 1.1 copies itself into memory at each start and exec, and a container that is short of it dies of that
    "runc": Program("runc", "github.com/opencontainers/runc", cgo="seccomp"),
    "coredns": Program("coredns", "github.com/coredns/coredns"),
    "cni-bridge": Program("cni", f"{CNI}/main/bridge"),
    "cni-loopback": Program("cni", f"{CNI}/main/loopback"),
    "cni-host-local": Program("cni", f"{CNI}/ipam/host-local"),
    "cni-portmap": Program("cni", f"{CNI}/meta/portmap"),
    "cni-bandwidth": Program("cni", f"{CNI}/meta/bandwidth"),
    "helm": Program("helm", "helm.sh/helm/v3/cmd/helm", optional=True),
    "helm4": Program("helm4", "helm.sh/helm/v4/cmd/helm", optional=True),
    "kubectl-1.35": Program("kubectl-1.35", ".", optional=True, version="1.35.10"),
    "kubectl-1.34": Program("kubectl-1.34", ".", optional=True, version="1.34.13"),
    "client-go": Program("../../programs/client-go", ".", optional=True),
    "kine": Program("kine", "github.com/k3s-io/kine", optional=True),
    "metrics-server": Program("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server", optional=True),
}


# Static programs of our own, in C.
OWN = ("pause", "busybox-sh")


def linker_flags(version: str = KUBERNETES_VERSION) -> str:
    """What upstream's own build stamps into its programs: the version they answer with."""
    major, minor, _ = version.split(".")
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {package}.{name}={value}" for package in packages for name, value in facts.items()]
    return " ".join(["-s", "-w", *stamps])


def fingerprint(name: str) -> str:
    """Changes whenever what the program is built from changes."""
    program = PROGRAMS[name]
    digest = hashlib.sha256(f"{program} {linker_flags(program.version)}{program.cgo}".encode())
    module = HERE / "programs" / program.module
    # what is ours and not a module's: beside the go.mod, or a folder of the program's name
    own = [file for file in sorted([*module.glob("*.go"), *(module / name).glob("*.go")]) if file.name != "tools.go"]
    for file in (module / "go.mod", module / "go.sum", *own):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_built(name: str) -> bool:
    """Whether the cache holds this very version of the program."""
    stamp = paths.programs() / f".{name}.stamp"
    return stamp.exists() and stamp.read_text() == fingerprint(name) and (paths.programs() / name).exists()


def build(name: str) -> None:
    """Builds one program; the file appears whole or not at all."""
    program, out = PROGRAMS[name], paths.programs()
    module = HERE / "programs" / program.module
    # vet would look at everything the suite is made of: minutes, for code that is not ours
    verb = ["test", "-c", "-vet=off"] if program.test else ["build"]
    partial = out / f".{name}.partial.{os.getpid()}"
    command = ["nice", "go", *verb, "-p", os.environ.get("K3S_RS_GO_JOBS") or str(os.cpu_count() or 2), "-mod=readonly"]
    command += [f"-tags={program.cgo}", "-ldflags", linker_flags(program.version), "-o", str(partial), program.package]
    run(command, cwd=module, env={**os.environ, "CGO_ENABLED": "1" if program.cgo else "0"})
    partial.rename(out / name)
    (out / f".{name}.stamp").write_text(fingerprint(name))


def own_version(name: str) -> str:
    """Changes with the source of a program of our own."""
    return hashlib.sha256((HERE / "programs" / f"{name}.c").read_bytes()).hexdigest()


def is_own_built(name: str) -> bool:
    """Whether the cache holds this very version of a program of our own."""
    stamp = paths.programs() / f".{name}.stamp"
    return stamp.exists() and stamp.read_text() == own_version(name) and (paths.programs() / name).exists()


def build_own(name: str) -> None:
    """A small static program of our own."""
    source, target = HERE / "programs" / f"{name}.c", paths.programs() / name
    if is_own_built(name):
        return
    partial = target.with_name(f".{name}.partial.{os.getpid()}")
    run(["gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", str(partial), str(source)])
    partial.rename(target)
    (paths.programs() / f".{name}.stamp").write_text(own_version(name))


def link_plugins() -> None:
    """CNI plugins under the names containerd calls them by."""
    folder = paths.programs().parent / "cni"
    folder.mkdir(exist_ok=True)
    for name in PROGRAMS:
        link = folder / name.removeprefix("cni-")
        if name.startswith("cni-") and not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # another run was faster
                link.symlink_to(Path("../bin") / name)


def kubernetes_source() -> Path:
    """The k8s.io/kubernetes module's folder: test data of the images and of the suite."""
    module = HERE / "programs" / "kubernetes"
    return Path(run(["go", "list", "-m", "-f", "{{.Dir}}", K8S], cwd=module).strip())


def ensure(names: list[str] | None = None) -> Path:
    """Builds what is missing of the named programs (default: all that are not optional) and says how far it is."""
    if not shutil.which("go"):
        raise Failure("Go is needed to build upstream's programs and is not on PATH")
    paths.programs().mkdir(parents=True, exist_ok=True)
    wanted = names or [name for name, program in PROGRAMS.items() if not program.optional]
    missing = [name for name in wanted if name in PROGRAMS and not is_built(name)]
    for number, name in enumerate(missing, 1):
        # who needs only what is there never waits for another's build
        with paths.locked("programs"):
            if not is_built(name):
                print(f"building {name} of upstream's ({number} of {len(missing)})", file=sys.stderr, flush=True)
                build(name)
    for name in OWN:
        build_own(name)
    link_plugins()
    return paths.programs()


def download() -> None:
    """Fetches all modules, so that a later build needs no network."""
    modules = sorted({program.module for program in PROGRAMS.values()})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda module: run(["go", "mod", "download"], cwd=HERE / "programs" / module), modules))


if __name__ == "__main__":
    try:
        print(ensure(sys.argv[1:] or None))
    except Failure as failure:
        sys.exit(f"error: {failure}")
