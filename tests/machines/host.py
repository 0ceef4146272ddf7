#!/usr/bin/env python3
"""Makes a host fit for building and for test machines: Debian packages it lacks (elsewhere it names them), limits of its kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Package and a program or file of it, by which other distributions are judged.
PACKAGES = {
    "build-essential": "gcc",
    "pkg-config": "pkg-config",
    "libsystemd-dev": "/usr/include/systemd/sd-daemon.h",
    "dbus": "dbus-daemon",
    "systemd-container": "systemd-nspawn",
    "mmdebstrap": "mmdebstrap",
    "iproute2": "ip",
    "nftables": "nft",
    "openssl": "openssl",
    "bash-static": "/bin/bash-static",
    "e2fsprogs": "mkfs.ext4",
    "qemu-system-x86": "qemu-system-x86_64",
}


LIMITS = {
    Path("/proc/sys/fs/inotify/max_user_instances"): 8192,
    Path("/proc/sys/fs/inotify/max_user_watches"): 524288,
}


def present(mark: str) -> bool:
    """Whether a program or file is there."""
    return os.path.exists(mark) if mark.startswith("/") else shutil.which(mark) is not None


def installed(package: str) -> bool:
    """Whether dpkg has the package."""
    query = ["dpkg-query", "-W", "-f=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def missing() -> list[str]:
    """The packages that are not there."""
    if shutil.which("dpkg-query"):
        return [package for package in PACKAGES if not installed(package)]
    return [package for package, mark in PACKAGES.items() if not present(mark)]


AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def raise_limits() -> None:
    """Raises the kernel's limits that all machines of the host share: a kubelet alone takes a dozen of the usual 128 inotify instances."""
    for path, wanted in LIMITS.items():
        if int(path.read_text()) < wanted:
            path.write_text(str(wanted))
    # every container of every machine is a session of its own: shared out by session, a build would get next to nothing
    if AUTOGROUP.exists():
        AUTOGROUP.write_text("0")


def main() -> int:
    """Installs, or says what to install."""
    if os.geteuid() == 0:
        raise_limits()
    lacking = missing()
    if not lacking:
        return 0
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"error: install what these Debian packages hold: {' '.join(lacking)}", file=sys.stderr)
        return 1
    print(f"installing {' '.join(lacking)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            print(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
