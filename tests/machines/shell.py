"""Running commands and waiting for conditions, with errors that say what was run and what it printed."""

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any


class Failure(Exception):
    """Something the person running this must know; the text says what and where to look."""


def run(command: list[str], *, check: bool = True, stdin: str | bytes | None = None, timeout: float | None = None, **more: Any) -> str:
    """Runs a command and returns what it printed; a failure carries both of its streams."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    source = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **source, **more)
    except FileNotFoundError as error:
        raise Failure(f"{command[0]}: not found ({error})") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{short(command)}: no end after {timeout} s") from error
    if check and done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Failure(f"{short(command)}: exit status {done.returncode}\n{output[-4000:]}")
    return done.stdout.decode(errors="replace")


def succeeds(command: list[str], timeout: float | None = None) -> bool:
    """Whether the command ends with status 0; its output is not kept."""
    try:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(command, check=False, timeout=timeout, **quiet).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def patience() -> float:
    """How much longer things take than on a machine that does nothing else."""
    return min(max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1))), 6.0)


def wait_until(what: str, condition: Callable[[], bool], timeout: float, details: Callable[[], str] | None = None) -> None:
    """Looks again and again until the condition holds; a timeout names what was waited for and adds details."""
    timeout *= patience()
    end = time.monotonic() + timeout
    pause = 0.02
    while not condition():
        if time.monotonic() > end:
            more = f"\n{details()}" if details else ""
            raise Failure(f"no {what} after {timeout:g} s{more}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.3)


def short(command: list[str]) -> str:
    """A command for an error message."""
    text = " ".join(command)
    return text if len(text) < 300 else text[:300] + " …"
