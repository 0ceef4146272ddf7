"""A disk that forgets what was not synced: one file by FUSE, for a loop device to stand on.

    python3 -m spine.unsynced IMAGE FILE

serves IMAGE as FILE, an existing file. Writes stay in memory until a sync. The line `cut SEED` on standard input is the end of the
power: of every block written since the last sync any of its versions is kept, each disk in its own order as real ones do;
from then on everything fails, so that nothing written later reaches the image. Then it says how many blocks were in doubt, and how many of them
were lost.
"""

import ctypes
import errno
import os
import random
import select
import stat
import struct
import sys

BLOCK = 4096
BUFFER = (128 << 10) + BLOCK
IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
# linux/fuse.h
FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, DESTROY, BATCH_FORGET = 2, 3, 4, 14, 15, 16, 17, 18, 20, 25, 26, 36, 38, 42
SILENT = (FORGET, BATCH_FORGET, INTERRUPT)


class Disk:
    """The image, and what was written since the last sync."""

    def __init__(self, image: str):
        self.image = os.open(image, os.O_RDWR)
        self.size = os.fstat(self.image).st_size
        self.unsynced: dict[int, list[bytes]] = {}
        self.dead = False

    def _block(self, number: int) -> bytes:
        versions = self.unsynced.get(number)
        return versions[-1] if versions else os.pread(self.image, BLOCK, number * BLOCK)

    def read(self, offset: int, size: int) -> bytes:
        """As the writer sees it."""
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        data = b"".join(self._block(number) for number in range(first, last + 1))
        return data[offset - first * BLOCK :][:size]

    def write(self, offset: int, data: bytes) -> None:
        """Into memory."""
        end = offset + len(data)
        for number in range(offset // BLOCK, (end - 1) // BLOCK + 1):
            start = number * BLOCK
            old, at = self._block(number), max(offset, start)
            part = data[at - offset : min(end, start + BLOCK) - offset]
            new = old[: at - start] + part + old[at - start + len(part) :]
            self.unsynced.setdefault(number, []).append(new)

    def sync(self) -> None:
        """Into the image."""
        for number, versions in self.unsynced.items():
            os.pwrite(self.image, versions[-1], number * BLOCK)
        self.unsynced.clear()

    def cut(self, seed: int) -> str:
        """The end of the power."""
        chance, lost = random.Random(seed), 0
        for number, versions in self.unsynced.items():
            kept = chance.randint(0, len(versions))
            lost += kept < len(versions)
            if kept:
                os.pwrite(self.image, versions[kept - 1], number * BLOCK)
        self.dead = True
        return f"{len(self.unsynced)} {lost}"


def attributes(disk: Disk) -> bytes:
    """`fuse_attr` of the one file."""
    return struct.pack("<6Q10I", 1, disk.size, disk.size // 512, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o600, 1, 0, 0, 0, BLOCK, 0)


def answer(disk: Disk, kind: int, body: bytes) -> bytes:
    """The answer to one request; an `OSError` is its error."""
    if kind == INIT:
        return struct.pack("<4I2H2I2H2I6I", 7, 31, 0, 0, 16, 12, 128 << 10, 1, 0, 0, 0, 0, *[0] * 6)
    if kind in (GETATTR, SETATTR):
        return struct.pack("<QII", 3600, 0, 0) + attributes(disk)
    if kind in (RELEASE, FLUSH, DESTROY):
        return b""
    if disk.dead:
        raise OSError(errno.EIO, "no power")
    if kind == OPEN:
        return struct.pack("<QII", 0, 0, 0)
    if kind == STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, BLOCK, 255, BLOCK, 0, *[0] * 6)
    if kind == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return disk.read(offset, min(size, disk.size - offset))
    if kind == WRITE:
        _, offset, size = struct.unpack_from("<QQI", body)
        disk.write(offset, body[40 : 40 + size])
        return struct.pack("<II", size, 0)
    if kind == FSYNC:
        disk.sync()
        return b""
    raise OSError(errno.ENOSYS, "not needed")


def serve(disk: Disk, device: int) -> None:
    """Until the file is unmounted."""
    while True:
        ready, _, _ = select.select([device, sys.stdin], [], [])
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            print(disk.cut(int(line.split()[1])), flush=True)
        if device not in ready:
            continue
        try:
            request = os.read(device, BUFFER)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            continue
        _, kind, unique, *_ = IN_HEADER.unpack_from(request)
        if kind in SILENT:
            continue
        data, failed = b"", 0
        try:
            data = answer(disk, kind, request[IN_HEADER.size :])
        except OSError as error:
            failed = -(error.errno or errno.EIO)
        os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(data), failed, unique) + data)


def main() -> None:
    """Mounts and serves."""
    image, file = sys.argv[1:3]
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode={stat.S_IFREG | 0o600:o},user_id=0,group_id=0".encode()
    if libc.mount(b"unsynced", file.encode(), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mounting")
    print("ready", flush=True)
    serve(Disk(image), device)


if __name__ == "__main__":
    main()
