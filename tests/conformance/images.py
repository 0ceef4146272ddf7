#!/usr/bin/env python3
"""Writes the images the conformance suite uses, or those a node of ours needs, named as they are asked for, as one archive.

    images.py [conformance | basic]      prints the archive's path; makes it only when its inputs changed
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

import programs  # noqa: E402
from machines import paths, product, trees  # noqa: E402
from machines.shell import Failure  # noqa: E402
from oci import Archive, Layer  # noqa: E402

E2E = "registry.k8s.io/e2e-test-images/"
REGISTRY = "registry.k8s.io/"
PATH = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
PAUSE = REGISTRY + "pause:3.10.2"
COREDNS = REGISTRY + "coredns/coredns:v1.14.3"
IN_IMAGES = ("agnhost", "coredns", "etcd", "nnp", "sample-apiserver")
KEPT_SECONDS = 3 * 24 * 3600
HOST_BASH = Path("/bin/bash-static")


def base(layer: Layer) -> None:
    """Debian with the network tools the tests call; devices and kernel file systems come from the runtime."""
    layer.tree(trees.image_base(), without=("dev", "proc", "sys"))


def agnhost(layer: Layer) -> None:
    """The suite's own many-in-one program, with the user and group two tests look for."""
    porter = programs.kubernetes_source() / "test/images/agnhost/porter"
    etc = trees.image_base() / "etc"
    user = "user-defined-in-image"
    layer.folder("uploads")
    layer.file("agnhost", paths.programs() / "agnhost")
    layer.symlink("agnhost-2", "agnhost")
    layer.file("localhost.crt", porter / "localhost.crt", 0o644)
    layer.file("localhost.key", porter / "localhost.key", 0o644)
    layer.file("coredns", paths.programs() / "coredns")
    layer.entry("etc/passwd", (etc / "passwd").read_bytes() + f"{user}:x:1000:1000::/home/u:/bin/sh\n".encode())
    groups = f"{user}:x:1000:\ngroup-defined-in-image:x:50000:{user}\n"
    layer.entry("etc/group", (etc / "group").read_bytes() + groups.encode())


def nginx(layer: Layer) -> None:
    """Logs to the container's streams and greets as upstream's image does."""
    layer.folder("var/log/nginx")
    layer.symlink("var/log/nginx/access.log", "/dev/stdout")
    layer.symlink("var/log/nginx/error.log", "/dev/stderr")
    layer.entry("usr/share/nginx/html/index.html", b"<html><body><h1>Welcome to nginx!</h1></body></html>\n")


def busybox(layer: Layer) -> None:
    """busybox with static programs only; what its sh is, programs/busybox-sh.c says."""
    for name in "bin etc root home var usr usr/bin lib lib64 dev proc sys".split():
        layer.folder(name)
    layer.folder("tmp", 0o1777)
    box = trees.busybox() / "usr/bin/busybox"
    layer.file("bin/busybox", box)
    layer.file("bin/bash", HOST_BASH)
    layer.file("bin/sh", paths.programs() / "busybox-sh")
    applets = subprocess.run([box, "--list"], capture_output=True, check=True, text=True).stdout.split()
    for applet in sorted(set(applets) - {"busybox", "sh"}):
        layer.hardlink(f"bin/{applet}", "bin/busybox")
    layer.entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
    layer.entry("etc/group", b"root:x:0:\nnobody:x:65534:\n")
    layer.entry("etc/nsswitch.conf", b"hosts: files dns\n")


def picture(name: str):
    """nautilus and kitten: a data file, a picture, and the name of the distribution the ImageVolume test looks for."""

    def fill(layer: Layer) -> None:
        html = programs.kubernetes_source() / f"test/images/{name}/html"
        layer.entry("etc/os-release", b'NAME="Alpine Linux"\nID=alpine\n')
        layer.file("data.json", html / "data.json", 0o644)
        layer.file(f"{name}.jpg", html / f"{name}.jpg", 0o644)

    return fill


def program(name: str, target: str, mode: int = 0o755):
    """A layer with one program."""
    return lambda layer: layer.file(target, paths.programs() / name, mode)


def build_basic(archive: Archive) -> None:
    """What a node of ours needs from the start, under k3s's names, and a busybox with sh and tar to try things with."""
    box = archive.layer("busybox", busybox)
    archive.image(["docker.io/library/busybox:latest", "docker.io/rancher/mirrored-library-busybox:1.37.0"], [box], Env=PATH, Cmd=["sh"])
    pause = archive.layer("pause", program("pause", "pause"))
    names = ["docker.io/rancher/mirrored-pause:3.6", PAUSE]
    archive.image(names, [pause], Env=PATH, Entrypoint=["/pause"], User="65535:65535")
    server = archive.layer("coredns", program("coredns", "coredns"))
    archive.image(["docker.io/rancher/mirrored-coredns-coredns:1.14.3", COREDNS], [server], Env=PATH, Entrypoint=["/coredns"])


def build_conformance(archive: Archive) -> None:
    """All images of the suite; the tags are those the suite's binary asks for (`e2e.test --list-images`)."""
    debian = archive.layer("base", base)
    agn = archive.layer("agnhost", agnhost)
    dns = archive.layer("dns", program("coredns", "coredns"))
    archive.image([E2E + "agnhost:2.63.0", E2E + "agnhost:2.55"], [debian, agn], Env=PATH, Entrypoint=["/agnhost"], Cmd=["pause"])
    archive.image([E2E + "glibc-dns-testing:2.0.0"], [debian, dns], Env=PATH, Cmd=["/bin/sh"])
    web = archive.layer("nginx", nginx)
    foreground = ["nginx", "-g", "daemon off;"]
    archive.image([E2E + "nginx:1.15-4", E2E + "nginx:1.27-0"], [debian, web], Env=PATH, Cmd=foreground, StopSignal="SIGTERM")
    box = archive.layer("busybox", busybox)
    archive.image([E2E + "busybox:1.37.0-1", "docker.io/library/busybox:latest"], [box], Env=PATH, Cmd=["sh"])
    pause = archive.layer("pause", program("pause", "pause"))
    archive.image([PAUSE, REGISTRY + "pause:3.10.1", REGISTRY + "pause:3.10"], [pause], Env=PATH, Entrypoint=["/pause"], User="65535:65535")
    for name in ("nautilus", "kitten"):
        layers = [debian, agn, archive.layer(name, picture(name))]
        archive.image([f"{E2E}{name}:1.8"], layers, Env=PATH, Entrypoint=["/agnhost"], Cmd=["test-webserver"])
    setuid = archive.layer("nnp", program("nnp", "usr/local/bin/nnp", 0o6755))
    archive.image([E2E + "nonewprivs:1.4"], [debian, setuid], Env=PATH, Cmd=["nnp"])
    sample = archive.layer("sample-apiserver", program("sample-apiserver", "sample-apiserver"))
    archive.image([E2E + "sample-apiserver:1.29.2"], [sample], Env=PATH, Entrypoint=["/sample-apiserver"])
    store = archive.layer("etcd", program("etcd", "usr/local/bin/etcd"))
    archive.image([REGISTRY + "etcd:3.6.8-0"], [debian, store], Env=PATH, Cmd=["etcd"])
    server = archive.layer("coredns", program("coredns", "coredns"))
    archive.image([COREDNS], [server], Env=PATH, Entrypoint=["/coredns"])


def fingerprint() -> str:
    """Changes with this code, the trees and the programs."""
    digest = hashlib.sha256()
    for file in (HERE / "images.py", HERE / "oci.py", *(HERE / "programs" / f"{name}.c" for name in programs.OWN)):
        digest.update(file.read_bytes())
    digest.update(f"{trees.image_base().name} {trees.busybox().name}".encode())
    digest.update(json.dumps([programs.fingerprint(name) for name in IN_IMAGES]).encode())
    return digest.hexdigest()[:16]


def remove_old(kind: str) -> None:
    """Removes archives nothing made or unpacked for days; a younger one may serve another checkout."""
    for old in paths.images().glob(f"{kind}-*"):
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


KINDS = {"conformance": build_conformance, "basic": build_basic}
# What is built before an archive: for the basic one what a node of ours runs on, else all of a cluster of upstream's.
NEEDED = {"conformance": None, "basic": [*product.PROGRAMS, "coredns", *(name for name in programs.PROGRAMS if name.startswith("cni-"))]}


def ensure(kind: str = "conformance") -> Path:
    """The archive of a set of images, made if it is not there."""
    programs.ensure(NEEDED[kind])
    if not HOST_BASH.exists():
        raise Failure(f"{HOST_BASH} is missing (Debian package bash-static)")
    target = paths.images() / f"{kind}-{fingerprint()}.tar"
    paths.images().mkdir(parents=True, exist_ok=True)
    with paths.locked("images"):
        if not target.exists():
            print(f"writing the images: {kind}", file=sys.stderr, flush=True)
            remove_old(kind)
            with tempfile.TemporaryDirectory(dir=paths.images(), prefix="layers.") as work:
                archive = Archive(Path(work))
                KINDS[kind](archive)
                partial = target.with_suffix(".partial")
                archive.write(partial)
                partial.rename(target)
    return target


if __name__ == "__main__":
    try:
        print(ensure(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"error: {failure}")
