"""A forwarder from the host's loopback into a machine's network namespace: forward.py NAMESPACE (PORT ADDRESS:PORT)...

Its listeners are opened before it enters the namespace and stay in the host's; its connections are made inside.
"""

import asyncio
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16


def enter(namespace: str) -> None:
    """Moves this process into the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
    os.close(descriptor)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries one direction until its end, and passes the end on."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


def handler(target: str):
    """Answers one listener's connections."""
    address, port = target.rsplit(":", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        far_writer.close()
        writer.close()

    return serve


def listen(port: int) -> socket.socket:
    """A listener on the host's loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


async def main(namespace: str, pairs: list[tuple[str, str]]) -> None:
    """Opens all listeners, enters the namespace, says so, serves until it is ended."""
    listeners = [(listen(int(port)), target) for port, target in pairs]
    enter(namespace)
    servers = [await asyncio.start_server(handler(target), sock=listener) for listener, target in listeners]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    arguments = sys.argv[2:]
    asyncio.run(main(sys.argv[1], list(zip(arguments[::2], arguments[1::2], strict=True))))
