"""Machines as systemd-nspawn containers with a whole systemd, a cgroup subtree of their own and a given network namespace.

The root is an overlay over the shared tree, mounted in the container's own mount namespace: whatever way the machine ends,
the host never sees a mount of it. `/var` is a plain folder, since containers' own overlays do not work upon an overlay.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import cgroups
from .machine import DEFAULT_TIMEOUT, Machine
from .shell import Failure, run, wait_until

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
CONTROLLERS = "blkio devices memory pids cpuacct cpuset cpu freezer"
LIMITS_RW = f"""
for c in {CONTROLLERS}; do mountpoint -q /sys/fs/cgroup/$c && mount -o remount,bind,rw /sys/fs/cgroup/$c; done
mount -o remount,bind,rw /proc/sys && mount -o remount,bind,rw /sys && mount --make-rshared /
"""
# As PID 1 of legacy cgroups: systemd 257 asks for these two words before it accepts them.
LEGACY = ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=no"]


class NspawnMachine(Machine):
    """One container over layers of folders, the tree last; its files live under `folder`, its group is `group`."""

    def __init__(self, name: str, folder: Path, layers: list[Path], group: str, namespace: str, binds: dict[str, str] | None = None):
        self.name = name
        self.folder = folder
        self.binds = binds or {}
        self._layers = layers
        self._group = group
        self._namespace = namespace

    @property
    def upper(self) -> Path:
        """What the machine has written outside /var."""
        return self.folder / "upper"

    def prepare(self) -> None:
        """Makes the machine's writable folders; `/var` begins as a copy of the tree's."""
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not (self.folder / "var").exists():
            run(["cp", "-a", str(self._layers[-1] / "var"), str(self.folder / "var")])
            for layer in self._layers[:-1]:
                if (layer / "var").is_dir():
                    run(["cp", "-a", f"{layer}/var/.", str(self.folder / "var")])
        self.put("/etc/hostname", f"{self.name}\n")
        self.put("/etc/machine-id", "")

    def put(self, target: str, content: str | bytes, mode: int = 0o644) -> None:
        """Writes a file before or after boot, seen by the machine at once."""
        leader = self.leader()
        if leader:
            root = Path(f"/proc/{leader}/root")
        elif target.startswith("/var/"):
            root = self.folder
        else:
            root = self.upper
        path = root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def start(self) -> None:
        """Boots; returns when systemd has finished starting and containers with limits work."""
        if self.is_up():
            return
        self.prepare()
        folders = cgroups.create(self._group)
        with open(self.folder / "console", "ab") as console:
            process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-euc", self._script(folders)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )
        (self.folder / "pid").write_text(f"{process.pid} {start_time(process.pid)}")
        wait_until(f"boot of {self.name}", lambda: self._booted(process), 60, self._console)
        self.succeed(LIMITS_RW)

    def _script(self, groups: list[Path]) -> str:
        layers = f"lowerdir={':'.join(map(str, self._layers))},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        root = self.folder / "root"
        command = ["systemd-nspawn", "-q", "-D", str(root), "-M", self._group, f"--hostname={self.name}"]
        command += ["--register=no", "--keep-unit", "--capability=all", "--console=read-only", "--resolv-conf=off", "--timezone=off"]
        command += ["--system-call-filter='@keyring bpf @mount @privileged'", f"--network-namespace-path=/run/netns/{self._namespace}"]
        command += ["--bind=/dev/kmsg", f"--bind={self.folder / 'var'}:/var"]
        command += [f"--bind-ro={source}:{target}" for target, source in self.binds.items()]
        legacy = LEGACY if any(group.parent.name == "memory" for group in groups) else []
        lines = [f"mount -t overlay overlay -o {layers} {root}", *(f"echo $$ > {group}/cgroup.procs" for group in groups)]
        return "\n".join([*lines, "exec " + " ".join([*command, "-b", *legacy])])

    def _booted(self, process: subprocess.Popen) -> bool:
        if process.poll() is not None:
            raise Failure(f"{self.name} did not start (exit status {process.returncode})\n{self._console()}")
        if not self.leader():
            return False
        try:
            state = self.execute("systemctl is-system-running", check_return=False, timeout=10)[1]
        except Failure:  # the kernel's list of children may miss one while others come and go
            return False
        return state.strip() in ("running", "degraded")

    def _console(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "console").read_text(errors="replace")[-2000:]
        return ""

    def pid(self) -> int | None:
        """The nspawn process, if it lives."""
        with contextlib.suppress(OSError, ValueError):
            pid, started = (int(word) for word in (self.folder / "pid").read_text().split())
            if start_time(pid) == started:
                return pid
        return None

    def leader(self) -> int | None:
        """PID 1 of the machine, as the host counts: the child that is number 1 of a namespace of its own."""
        pid = self.pid()
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                if len(numbers) > 1 and numbers[-1] == "1":
                    return int(child)
        return None

    def is_up(self) -> bool:
        """Whether the container's process lives."""
        return self.pid() is not None

    def enter(self, command: list[str]) -> list[str]:
        """The host's command line that runs a command in the machine."""
        leader = self.leader()
        if leader is None:
            raise Failure(f"machine {self.name} is not running")
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return ["nsenter", "-t", str(leader), "-a", "env", "-i", *environment, *command]

    def execute(self, command: str, check_return: bool = True, timeout: float | None = DEFAULT_TIMEOUT) -> tuple[int, str]:
        """Runs a bash command with `set -euo pipefail`; status 124 means it took too long."""
        script = f"set -euo pipefail; {command}"
        try:
            arguments = self.enter(["bash", "-c", script])
            done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            return 124, (error.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout.decode(errors="replace")

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or folder into the machine."""
        leader = self.leader()
        if leader is None:
            raise Failure(f"machine {self.name} is not running")
        destination = Path(f"/proc/{leader}/root") / target.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        run(["cp", "-a", "--remove-destination", source, str(destination)])

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """Copies a file or folder out of the machine."""
        leader = self.leader()
        if leader is None:
            raise Failure(f"machine {self.name} is not running")
        run(["cp", "-a", f"/proc/{leader}/root/{source.lstrip('/')}", target_dir or "."])

    def kill(self) -> None:
        """A power cut: everything inside dies with PID 1."""
        for pid in (self.leader(), self.pid()):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        cgroups.kill(self._group)
        wait_until(f"end of {self.name}", lambda: not self.is_up() and not cgroups.processes(self._group), 30)

    def remove(self) -> None:
        """Ends the machine and removes its groups and files."""
        self.kill()
        wait_until(f"removal of the groups of {self.name}", lambda: cgroups.remove(self._group), 30)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_time(pid: int) -> int | None:
    """When a process started, in the kernel's ticks: with the pid it names one process for ever. None if it is gone or dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
