#!/usr/bin/env python3
"""Makes a host fit for building and for test machines: Debian packages it lacks (elsewhere it names them), limits of its kernel.

    host.py [up | test]     also looks whether Go and the disks' free space are enough for what comes next
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machines import room  # noqa: E402

# Package and a program or file of it, by which other distributions are judged.
PACKAGES = {
    "build-essential": "gcc",
    "pkg-config": "pkg-config",
    "libsystemd-dev": "/usr/include/systemd/sd-daemon.h",
    "libseccomp-dev": "/usr/include/seccomp.h",
    "dbus": "dbus-daemon",
    "systemd-container": "systemd-nspawn",
    "mmdebstrap": "mmdebstrap",
    "iproute2": "ip",
    "nftables": "nft",
    "openssl": "openssl",
    "bash-static": "/bin/bash-static",
    "e2fsprogs": "mkfs.ext4",
}
# What only scenarios on virtual machines use: large, so a cluster comes up without it.
FOR_TESTS = {"qemu-system-x86": "qemu-system-x86_64"}

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


def missing(task: str | None) -> list[str]:
    """The packages that are not there."""
    wanted = PACKAGES if task == "up" else {**PACKAGES, **FOR_TESTS}
    if shutil.which("dpkg-query"):
        return [package for package in wanted if not installed(package)]
    return [package for package, mark in wanted.items() if not present(mark)]


AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def raise_limits() -> None:
    """Raises the kernel's limits that all machines of the host share: a kubelet alone takes a dozen of the usual 128 inotify instances."""
    for path, wanted in LIMITS.items():
        if int(path.read_text()) < wanted:
            path.write_text(str(wanted))
    # every container of every machine is a session of its own: shared out by session, a build would get next to nothing
    if AUTOGROUP.exists():
        AUTOGROUP.write_text("0")


def go_trouble() -> str:
    """What is wrong with Go; empty if it can build upstream's programs."""
    module = Path(__file__).resolve().parents[1] / "conformance/programs/containerd"
    wanted = next(line.split()[1] for line in (module / "go.mod").read_text().splitlines() if line.startswith("go "))
    advice = f"Go {wanted} or newer is needed to build upstream's programs (containerd, CoreDNS, kubectl): https://go.dev/dl"
    if not shutil.which("go"):
        return f"{advice}; there is no go on PATH"
    # where GOTOOLCHAIN lets it, an older one gets itself the version the module wants
    done = subprocess.run(["go", "env", "GOVERSION"], cwd=module, capture_output=True, text=True, check=False)
    version = done.stdout.strip().removeprefix("go")
    if done.returncode != 0 or numbers(version) < numbers(wanted):
        return f"{advice}; this one is {version or done.stderr.strip()}"
    return ""


def numbers(version: str) -> list[int]:
    """A version for comparing: 1.26.0 of 1.26rc1 and 1.26 alike."""
    return [int(number) for number in re.findall(r"\d+", version.split("rc")[0])]


def main(task: str | None) -> int:
    """Makes fit, or says what to do."""
    if os.geteuid() != 0:
        return fail("run this as root: it boots machines, and installs what they need")
    raise_limits()
    trouble = install(missing(task)) or (go_trouble() or room.lack(task) if task else "")
    return fail(trouble) if trouble else 0


def fail(text: str) -> int:
    """Tells why nothing else is done."""
    print(f"error: {text}", file=sys.stderr)
    return 1


def install(lacking: list[str]) -> str:
    """Installs what lacks by apt; elsewhere says what it is."""
    if not lacking:
        return ""
    if not shutil.which("apt-get"):
        return f"install what these Debian packages hold: {' '.join(lacking)}"
    print(f"installing by apt: {' '.join(lacking)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
