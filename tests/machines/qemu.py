"""Machines as QEMU guests without KVM: for cgroup v2, loadable modules, out-of-memory kills, reboots and power cuts.

Some ten times slower than the host. The root is an initial RAM file system made from the shared tree; /var/lib is a disk that
outlives a power cut. Commands go through a shell on a virtio console, as in nixos-tests.
"""

import base64
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import newc, paths, trees
from .machine import DEFAULT_TIMEOUT, Machine
from .nspawn import start_time
from .shell import Failure, run, succeeds, wait_until

BOOT_TIMEOUT = 240
MEMORY_MIB = 2048
DISK = "4G"
# The console keeps its settings only while somebody has it open; as a script file bash neither prompts nor edits lines.
BACKDOOR = """[Unit]
Description=Shell of the test driver
Conflicts=shutdown.target
[Service]
ExecStart=/bin/bash -c 'exec 9<>/dev/hvc0; stty -F /dev/hvc0 raw -echo; exec /bin/bash --noprofile --norc /dev/hvc0 >&9'
StandardError=null
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
KillSignal=SIGHUP
Restart=always
[Install]
WantedBy=multi-user.target
"""
# The tree has no udev: nothing loads drivers or announces devices, so this does what is needed by name.
DEVICES = """[Unit]
Description=Disk and network of a test machine
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/modprobe -a virtio_pci virtio_blk virtio_net ext4
ExecStart=/bin/mount -t ext4 /dev/vda /var/lib/machine-disk
ExecStart=/sbin/ip addr replace {address}/24 dev eth0
ExecStart=/sbin/ip link set eth0 up
ExecStart=/sbin/ip route replace default via {gateway}
[Install]
WantedBy=multi-user.target
"""


class QemuMachine(Machine):
    """One guest; its disk, sockets and console lie in `folder`, its network card hangs on the cluster's bridge."""

    def __init__(self, name: str, folder: Path, namespace: str, address: str, gateway: str, port: str):
        self.name = name
        self.folder = folder
        self._namespace = namespace
        self._address, self._gateway, self._port = address, gateway, port
        self._mac = "52:54:00:00:00:" + f"{int(address.rsplit('.', 1)[1]):02x}"
        self._shell: socket.socket | None = None

    @staticmethod
    def missing() -> str:
        """What the host lacks; empty if nothing."""
        tools = {"qemu-system-x86_64": "qemu-system-x86", "mkfs.ext4": "e2fsprogs"}
        lacking = [package for tool, package in tools.items() if not shutil.which(tool)]
        return f"needs the Debian packages {' '.join(lacking)}" if lacking else ""

    def prepare(self) -> None:
        """Makes the disk and this machine's part of the RAM file system."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._file("disk").exists():
            run(["truncate", "-s", DISK, str(self._file("disk"))])
            run(["mkfs.ext4", "-q", "-F", str(self._file("disk"))])
        units = {"backdoor": BACKDOOR, "devices": DEVICES.format(address=self._address, gateway=self._gateway)}
        with tempfile.TemporaryDirectory() as staging:
            etc = Path(staging) / "etc"
            wants = etc / "systemd/system/multi-user.target.wants"
            wants.mkdir(parents=True)
            (etc / "hostname").write_text(f"{self.name}\n")
            (Path(staging) / "var/lib/machine-disk").mkdir(parents=True)
            (Path(staging) / "init").symlink_to("lib/systemd/systemd")
            for unit, text in units.items():
                (etc / f"systemd/system/{unit}.service").write_text(text)
                (wants / f"{unit}.service").symlink_to(f"../{unit}.service")
            newc.pack(Path(staging), self._file("own.cpio"))
        with open(self._file("initrd"), "wb") as initrd:
            for part in (root_archive(), self._file("own.cpio")):
                with open(part, "rb") as content:
                    shutil.copyfileobj(content, initrd)

    def start(self) -> None:
        """Boots; returns when systemd is up and the driver's shell answers."""
        if self.is_up():
            return
        if not self._file("initrd").exists():
            self.prepare()
        console = ["-serial", f"file:{self._file('console')}"]
        shell = ["-device", "virtio-serial-pci", "-chardev", f"socket,id=shell,path={self._file('shell')},server=on,wait=off"]
        card = ["-netdev", f"tap,id=net,ifname={self._port},script=no,downscript=no", "-device", f"virtio-net-pci,netdev=net,mac={self._mac}"]
        disk = ["-drive", f"file={self._file('disk')},format=raw,if=virtio,cache=writethrough"]
        boot = ["-kernel", str(kernel()), "-initrd", str(self._file("initrd")), "-append", "console=ttyS0 rdinit=/init panic=-1 quiet net.ifnames=0 systemd.getty_auto=no"]
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "Haswell-noTSX", "-m", str(MEMORY_MIB)]
        command += ["-display", "none", "-no-reboot", *console, *shell, "-device", "virtconsole,chardev=shell", *card, *disk, *boot]
        with open(self._file("qemu.log"), "ab") as log:
            arguments = ["ip", "netns", "exec", self._namespace, *command]
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._file("pid").write_text(f"{process.pid} {start_time(process.pid)}")
        wait_until(f"console of {self.name}", lambda: self._connected(process), 30, lambda: self._tail("qemu.log"))
        plug = ["ip", "-n", self._namespace, "link", "set", self._port, "master", "br0", "up"]
        wait_until(f"network card of {self.name}", lambda: succeeds(plug), 30)
        self._greet()
        wait_until(f"boot of {self.name}", self._booted, BOOT_TIMEOUT, lambda: self._tail("console"))

    def _connected(self, process: subprocess.Popen) -> bool:
        if process.poll() is not None:
            raise Failure(f"QEMU ended with status {process.returncode}\n{self._tail('qemu.log')}")
        shell = socket.socket(socket.AF_UNIX)
        try:
            shell.connect(str(self._file("shell")))
        except OSError:
            shell.close()
            return False
        self._shell = shell
        return True

    def _greet(self) -> None:
        """The shell may not read yet, and the console echoes until it does: ask until an answer, not an echo, comes; drop what is late."""
        mark = "ready-for-commands"

        def answered() -> bool:
            self._send("echo ready-for-''commands\n")
            with contextlib.suppress(TimeoutError):
                return mark in self._line(2)
            return False

        wait_until(f"shell of {self.name}", answered, BOOT_TIMEOUT, lambda: self._tail("console"))
        self._send("echo end-of-''greeting\n")
        while "end-of-greeting" not in self._line(30):
            pass

    def _booted(self) -> bool:
        return self.execute("systemctl is-system-running", check_return=False, timeout=30)[1].strip() in ("running", "degraded")

    def execute(self, command: str, check_return: bool = True, timeout: float | None = DEFAULT_TIMEOUT) -> tuple[int, str]:
        """Runs a bash command with `set -euo pipefail`; status 124 means it took too long."""
        if self._shell is None:
            raise Failure(f"machine {self.name} is not running")
        limit = timeout or DEFAULT_TIMEOUT
        script = shlex.quote(f"set -euo pipefail; {command}")
        self._send(f"timeout {limit:g} bash -c {script} 2>&1 </dev/null | (base64 -w 0; echo); echo ${{PIPESTATUS[0]}}\n")
        output = base64.b64decode(self._line(limit + 30)).decode(errors="replace")
        return int(self._line(30)), output

    def _send(self, text: str) -> None:
        assert self._shell is not None
        self._shell.sendall(text.encode())

    def _line(self, timeout: float) -> str:
        """One line from the shell."""
        assert self._shell is not None
        end, data = time.monotonic() + timeout, bytearray()
        while not data.endswith(b"\n"):
            self._shell.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self._shell.recv(1)
            except ConnectionError:
                piece = b""
            if not piece:
                raise Failure(f"{self.name} is gone\n{self._tail('qemu.log')}\n{self._tail('console')}")
            data += piece
        return data.decode(errors="replace").strip()

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or folder into the guest, through its shell."""
        packed = subprocess.run(["tar", "-cz", "-C", str(Path(source).parent), Path(source).name], capture_output=True, check=True).stdout
        self.succeed("rm -rf /tmp/copied && mkdir -p /tmp/copied")
        text = base64.b64encode(packed).decode()
        for at in range(0, len(text), 60_000):
            self.succeed(f"printf %s {text[at : at + 60_000]} >> /tmp/copied/archive")
        unpacked = f"/tmp/copied/{shlex.quote(Path(source).name)}"
        self.succeed(f"base64 -d /tmp/copied/archive | tar -xz -C /tmp/copied && mkdir -p {shlex.quote(str(Path(target).parent))}")
        self.succeed(f"cp -a {unpacked} {shlex.quote(target)}")

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """Copies a file or folder out of the guest, through its shell."""
        folder, name = shlex.quote(str(Path(source).parent)), shlex.quote(Path(source).name)
        text = self.succeed(f"tar -cz -C {folder} {name} | base64 -w 0")
        subprocess.run(["tar", "-xz", "-C", target_dir or "."], input=base64.b64decode(text), check=True)

    def is_up(self) -> bool:
        """Whether QEMU runs."""
        return self._pid() is not None

    def kill(self) -> None:
        """A power cut."""
        pid = self._pid()
        if pid:
            os.kill(pid, 9)
        if self._shell:
            self._shell.close()
            self._shell = None
        card = ["ip", "-n", self._namespace, "link", "show", self._port]
        wait_until(f"end of {self.name}", lambda: not self.is_up() and not succeeds(card), 30)

    def wait_for_shutdown(self, timeout: float = 120) -> None:
        """Waits until QEMU has ended."""
        super().wait_for_shutdown(timeout)
        self.kill()

    def _pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            pid, started = (int(word) for word in self._file("pid").read_text().split())
            if start_time(pid) == started:
                return pid
        return None

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _tail(self, name: str) -> str:
        with contextlib.suppress(OSError):
            return self._file(name).read_text(errors="replace")[-1500:]
        return ""


def kernel() -> Path:
    """Debian's kernel for virtual machines."""
    return next((trees.kernel() / "boot").glob("vmlinuz-*"))


def root_archive() -> Path:
    """The shared tree with the kernel's modules, as an uncompressed archive a kernel unpacks."""
    tree, modules = trees.node(), trees.kernel()
    target = paths.trees() / f"{tree.name}-{modules.name}.cpio"
    with paths.locked("root-archive"):
        if not target.exists():
            partial = target.with_suffix(".partial")
            with tempfile.TemporaryDirectory(dir=paths.trees()) as staging:
                run(["cp", "-al", f"{tree}/.", staging])
                run(["cp", "-a", str(modules / "usr/lib/modules"), f"{staging}/usr/lib/"])
                version = next((Path(staging) / "usr/lib/modules").iterdir()).name
                run(["chroot", staging, "depmod", version])
                newc.pack(Path(staging), partial)
            partial.rename(target)
    return target
