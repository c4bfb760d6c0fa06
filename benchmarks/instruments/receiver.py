"""A receiver of webhooks that answers at once: a process of its own, which says on stdout what it takes.

A line each: the wall clock's seconds, the event, the guid. What it does not understand ends it.
"""

import asyncio
import sys
import time
from typing import cast

import msgspec

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Message(msgspec.Struct):
    """What of a message counts here."""

    event: str
    guid: str


class Receiver(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            taken = msgspec.json.decode(rest[:length], type=Message)
            sys.stdout.write(f"{time.time():.6f} {taken.event} {taken.guid}\n")
            self._transport.write(ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    while True:
        sys.stdout.flush()
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main())
