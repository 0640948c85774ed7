"""A proxy that hands on what it gets some milliseconds later, in both ways.

    python -m wktriage.lab.delay_proxy PORT DELAY_MS MARK SECONDS

Connections are led to it by a REDIRECT rule, and it connects to where each was meant to go. Its own
connections carry MARK, by which the rule leaves them alone. It says ``ready`` when it listens, and
ends by itself after SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys

SO_ORIGINAL_DST = 80
CHUNK = 64 * 1024
QUEUE = 256
"""Chunks on their way in one direction: what is more waits in the sender's own socket."""


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """Return where a redirected connection was meant to go (linux/netfilter_ipv4.h)."""
    _, port, address = struct.unpack(
        "!HH4s8x", connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    )
    return socket.inet_ntoa(address), port


async def delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Hand on one direction, each chunk ``delay`` seconds after it came."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)

    async def take() -> None:
        data = b"-"
        while data:
            data = await reader.read(CHUNK)
            await queue.put((loop.time() + delay, data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                return
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        writer.close()


async def listen(port: int, delay: float, mark: int) -> asyncio.Server:
    """Return a server on ``port`` that delays what it hands on by ``delay`` seconds."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            host, there = original_destination(writer.get_extra_info("socket"))
            onward = socket.socket()
            onward.setblocking(False)
            onward.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            await asyncio.get_running_loop().sock_connect(onward, (host, there))
            far_reader, far_writer = await asyncio.open_connection(sock=onward)
            await asyncio.gather(
                delayed(reader, far_writer, delay),
                delayed(far_reader, writer, delay),
                return_exceptions=True,
            )
        writer.close()

    return await asyncio.start_server(handle, "0.0.0.0", port)  # noqa: S104 (a namespace's)


async def serve(port: int, delay: float, mark: int, seconds: float) -> None:
    """Listen for so many seconds, and say so."""
    async with await listen(port, delay, mark):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.sleep(seconds)


if __name__ == "__main__":
    asyncio.run(
        serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, int(sys.argv[3]), float(sys.argv[4]))
    )
