"""What every machine can do, under the method names of nixos-tests, whatever it runs on."""

import base64
import shlex
import time
from pathlib import Path

from .shell import Failure, wait_until

DEFAULT_TIMEOUT = 900


class Machine:
    """A booted machine; a backend supplies `start`, `kill`, `execute`, `copy_from_host` and `copy_from_vm`."""

    name: str

    def start(self) -> None:
        """Boots and returns when systemd is up."""
        raise NotImplementedError

    def kill(self) -> None:
        """Ends the machine at once, as a power cut does."""
        raise NotImplementedError

    def execute(self, command: str, check_return: bool = True, timeout: float | None = DEFAULT_TIMEOUT) -> tuple[int, str]:
        """Runs a shell command in the machine: its exit status and output."""
        raise NotImplementedError

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or folder into the machine."""
        raise NotImplementedError

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """Copies a file or folder out of the machine."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Powers the machine off in order."""
        self.execute("systemctl --no-block poweroff", check_return=False)
        self.wait_for_shutdown()

    def wait_for_shutdown(self, timeout: float = 120) -> None:
        """Waits until the machine is off."""
        wait_until(f"shutdown of {self.name}", lambda: not self.is_up(), timeout)

    def is_up(self) -> bool:
        """Whether the machine runs."""
        raise NotImplementedError

    def crash(self) -> None:
        """A power cut."""
        self.kill()

    def succeed(self, *commands: str, timeout: float | None = DEFAULT_TIMEOUT) -> str:
        """Runs commands; each must end with status 0. Returns all they printed."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout=timeout)
            if status != 0:
                raise Failure(f"{self.name}: `{command}` ended with {status}\n{text.strip()}")
            output += text
        return output

    def fail(self, *commands: str, timeout: float | None = DEFAULT_TIMEOUT) -> str:
        """Runs commands; each must end with another status than 0."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout=timeout)
            if status == 0:
                raise Failure(f"{self.name}: `{command}` succeeded, which it must not\n{text.strip()}")
            output += text
        return output

    def wait_until_succeeds(self, command: str, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Repeats a command until it ends with status 0."""
        return self._repeat(command, timeout, wanted=True)

    def wait_until_fails(self, command: str, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Repeats a command until it fails."""
        return self._repeat(command, timeout, wanted=False)

    def _repeat(self, command: str, timeout: float, wanted: bool) -> str:
        last = [1, ""]

        def tried() -> bool:
            last[:] = self.execute(command, check_return=False, timeout=timeout)
            return (last[0] == 0) == wanted

        verb = "success" if wanted else "failure"
        wait_until(f"{verb} of `{command}` on {self.name}", tried, timeout, lambda: f"last status {last[0]}: {last[1]}")
        return str(last[1])

    def systemctl(self, query: str, user: str | None = None) -> tuple[int, str]:
        """Runs systemctl."""
        prefix = f"systemctl --machine={user}@.host --user" if user else "systemctl"
        return self.execute(f"{prefix} {query}", check_return=False)

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """All properties of a unit."""
        status, text = self.systemctl(f"--no-pager show {shlex.quote(unit)}", user)
        if status != 0:
            raise Failure(f"{self.name}: no information on unit {unit}: {text}")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def get_unit_property(self, unit: str, name: str, user: str | None = None) -> str:
        """One property of a unit."""
        return self.get_unit_info(unit, user)[name]

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fails unless the unit is in that state now."""
        state = self.get_unit_info(unit)["ActiveState"]
        if state != require_state:
            raise Failure(f"{self.name}: unit {unit} is {state}, not {require_state}")

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until a unit is active; a failed unit, or an inactive one with no job, ends the wait."""

        def active() -> bool:
            info = self.get_unit_info(unit, user)
            state = info["ActiveState"]
            if state == "failed" or (state == "inactive" and info.get("Job", "0") in ("", "0") and not self._has_jobs(user)):
                raise Failure(f"{self.name}: unit {unit} is {state}\n{self.journal(unit)}")
            return state == "active"

        wait_until(f"active unit {unit} on {self.name}", active, timeout, lambda: self.journal(unit))

    def _has_jobs(self, user: str | None) -> bool:
        return "No jobs" not in self.systemctl("list-jobs --full 2>&1", user)[1]

    def journal(self, unit: str, lines: int = 30) -> str:
        """The last lines a unit logged."""
        return self.execute(f"journalctl --no-pager -o cat -n {lines} -u {shlex.quote(unit)}", check_return=False)[1]

    def wait_for_file(self, filename: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until a file exists."""
        self.wait_until_succeeds(f"test -e {shlex.quote(filename)}", timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until a TCP port answers."""
        self.wait_until_succeeds(f"timeout 5 bash -c ': </dev/tcp/{addr}/{port}'", timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until a TCP port no longer answers."""
        self.wait_until_fails(f"timeout 5 bash -c ': </dev/tcp/{addr}/{port}'", timeout)

    def wait_for_open_unix_socket(self, addr: str, is_datagram: bool = False, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until a unix socket can be connected to."""
        kind = "UNIX-SENDTO" if is_datagram else "UNIX-CONNECT"
        self.wait_until_succeeds(f"socat -u OPEN:/dev/null {kind}:{shlex.quote(addr)}", timeout)

    def write_file(self, target: str, content: str | bytes, mode: int = 0o644) -> None:
        """Writes a file in the machine, folders included."""
        data = content.encode() if isinstance(content, str) else content
        text, folder = base64.b64encode(data).decode(), str(Path(target).parent)
        path = shlex.quote(target)
        self.succeed(f"mkdir -p {shlex.quote(folder)} && echo {text} | base64 -d > {path} && chmod {mode:o} {path}")

    def sleep(self, seconds: float) -> None:
        """Waits; scenarios should wait for conditions instead."""
        time.sleep(seconds)
