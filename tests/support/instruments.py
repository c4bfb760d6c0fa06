"""What the tests of the benchmarks' instruments share: frames as servers send them, and a worker's commands."""

import asyncio
from typing import Any

from benchmarks.instruments.workers import Worker
from benchmarks.instruments.writer import state

MARKER = b'"price":"'
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED_HEAD = PLAIN_HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
HEARTBEAT = b'event: hb\ndata: {"now":1}\n\n'


def event(price: int, line: bytes = b"\n") -> bytes:
    return line.join([b"id: 1", b"event: price", b"data: " + state("lot-0", price).encode(), b"", b""])


def chunked(*payloads: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads)


def text_frame(text: bytes) -> bytes:
    length = len(text)
    if length < 126:
        return b"\x81" + bytes([length]) + text
    return (
        b"\x81"
        + (b"\x7e" + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big"))
        + text
    )


def receive_frame(price: int, padding: int = 0) -> bytes:
    return text_frame(b'42["receive",{"nowprice":"%d.00","x":"%b"}]' % (price, b"x" * padding))


async def do(instrument: Worker, command: str, **options: Any) -> dict[str, Any]:
    return await asyncio.to_thread(instrument.do, command, **options)
