"""Writes the archives a kernel unpacks as its first root: cpio's "newc" format."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

TRAILER = "TRAILER!!!"


def pack(folder: Path, target: Path) -> None:
    """A folder, its owners, modes, devices and links; the same folder gives the same bytes."""
    with open(target, "wb") as archive:
        for number, path in enumerate(entries(folder), 1):
            status = os.lstat(path)
            data = content(path, status.st_mode)
            header(archive, os.path.relpath(path, folder), number, status, len(data))
            padded(archive, data)
        header(archive, TRAILER, 0, None, 0)


def entries(folder: Path) -> list[str]:
    """Every path under the folder, a folder before what is in it."""
    found: list[str] = []
    for path, folders, files in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if os.path.islink(os.path.join(path, name))]
        found += [os.path.join(path, name) for name in sorted([*files, *linked])]
        found += [os.path.join(path, name) for name in folders if name not in linked]
    return sorted(found)


def content(path: str, mode: int) -> bytes:
    """A file's bytes or a link's target."""
    if stat.S_ISLNK(mode):
        return os.readlink(path).encode()
    if stat.S_ISREG(mode):
        return Path(path).read_bytes()
    return b""


def header(archive: BinaryIO, name: str, number: int, status: os.stat_result | None, size: int) -> None:
    """One entry's header and name; every file is its own, so links between files become copies."""
    device = status.st_rdev if status and stat.S_IFMT(status.st_mode) in (stat.S_IFCHR, stat.S_IFBLK) else 0
    numbers = [number, status.st_mode if status else 0, status.st_uid if status else 0, status.st_gid if status else 0, 1, 0, size]
    numbers += [0, 0, os.major(device), os.minor(device), len(name.encode()) + 1, 0]
    padded(archive, b"070701" + b"".join(b"%08X" % value for value in numbers) + name.encode() + b"\0")


def padded(archive: BinaryIO, data: bytes) -> None:
    """The data, filled up to a multiple of four."""
    archive.write(data + b"\0" * (-len(data) % 4))
