"""Debian trees, made once by mmdebstrap and kept in the cache: one for machines, one as base layer of the test images."""

import hashlib
import shutil
from pathlib import Path

from . import paths
from .shell import Failure, run

SUITE = "trixie"

NODE_PACKAGES = """systemd systemd-sysv dbus polkitd iproute2 procps iptables nftables libseccomp2 kmod conntrack ca-certificates
    iputils-ping ethtool socat curl util-linux mount""".split()

IMAGE_PACKAGES = "bash curl bind9-dnsutils netcat-openbsd iproute2 iperf nginx-light ca-certificates procps".split()

# Not the host's: Debian 12's wget ends with a segmentation fault when it is given a timeout.
BUSYBOX_PACKAGES = ["busybox-static"]

KERNEL_PACKAGES = ["linux-image-cloud-amd64"]

NO_DOCUMENTS = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale", "info")]


def node() -> Path:
    """The tree every machine starts from."""
    return _tree("node", NODE_PACKAGES)


def image_base() -> Path:
    """The tree under most test images."""
    return _tree("image", IMAGE_PACKAGES)


def busybox() -> Path:
    """A static busybox of the same suite."""
    return _tree("busybox", BUSYBOX_PACKAGES, "extract")


def kernel() -> Path:
    """Debian's kernel for virtual machines and its modules, unpacked and not configured."""
    return _tree("kernel", KERNEL_PACKAGES, "extract")


def _tree(name: str, packages: list[str], variant: str = "minbase") -> Path:
    version = hashlib.sha256(" ".join([SUITE, *packages, *NO_DOCUMENTS]).encode()).hexdigest()[:8]
    tree = paths.trees() / f"{name}-{version}"
    if tree.exists():
        return tree
    if not shutil.which("mmdebstrap"):
        raise Failure("mmdebstrap is not installed (Debian package mmdebstrap)")
    with paths.locked(f"tree-{name}"):
        if not tree.exists():
            _make(tree, packages, variant)
    return tree


def _make(tree: Path, packages: list[str], variant: str) -> None:
    partial = tree.with_name(tree.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tree.parent.mkdir(parents=True, exist_ok=True)
    print(f"making the Debian tree {tree.name}", flush=True)
    include = "--include=" + ",".join(packages)
    # It mounts /proc and /sys in the tree. Were it killed, the host would keep these mounts, and the next attempt would remove into them.
    apart = ["unshare", "--mount", "--propagation", "private"]
    # a tree is there whole or not at all: dpkg need not sync every file
    options = ["--quiet", f"--variant={variant}", "--dpkgopt=force-unsafe-io", *NO_DOCUMENTS, include]
    run([*apart, "mmdebstrap", *options, SUITE, str(partial)])
    for folder in ("var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(partial / folder, ignore_errors=True)
    if variant == "minbase":
        (partial / "etc/machine-id").write_text("")
    partial.rename(tree)
