"""Requests and replies on kept-alive connections: each client sends its next request when it has its reply.

A closed loop: it measures throughput and latency at a given number of clients, not latency at a given rate.
"""

import asyncio
import contextlib
import time
from array import array
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.instruments.frames import HEAD_END

WARM_UP_SECONDS = 0.5  # of requests that are not counted
LENGTH = b"\r\ncontent-length: "


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: "Tally", next_request: Callable[[], bytes]) -> None:
        self._tally = tally
        self._next_request = next_request
        self._buffer = b""
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection's transport is a Transport
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        self._sent_at = time.monotonic()
        self.transport.write(self._next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (status := take_reply(self._buffer)) is None:
            return
        self._buffer = b""
        self._tally.count(status, time.monotonic() - self._sent_at)
        if self._tally.is_on:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tally.is_on:
            self._tally.lost += 1


def take_reply(buffer: bytes) -> int | None:
    """The status of a whole reply, or None while it is incomplete; only one is under way on a connection."""
    end = buffer.find(HEAD_END)
    if end < 0:
        return None
    status = int(buffer[9:12])
    start = buffer[: end + 2].lower().find(LENGTH)
    length = 0
    if start >= 0:
        start += len(LENGTH)
        length = int(buffer[start : buffer.index(b"\r\n", start)])
    elif status not in (204, 304):
        raise ValueError(f"a reply without a length: {buffer[:200]!r}")
    if status in (204, 304):
        length = 0
    return status if len(buffer) >= end + 4 + length else None


class Tally:
    """Replies by status, and how long each took."""

    def __init__(self) -> None:
        self.is_on = True
        self.counts_from = time.monotonic() + WARM_UP_SECONDS
        self.statuses: Counter[int] = Counter()
        self.seconds = array("d")
        self.lost = 0

    def count(self, status: int, seconds: float) -> None:
        if self.is_on and time.monotonic() >= self.counts_from:
            self.statuses[status] += 1
            self.seconds.append(seconds)


def bids_of(client: int, request: str, guids: list[str], tokens: list[str], clients: int) -> Callable[[], bytes]:
    """Requests of a client that raises its own auctions in turn, as ever another bidder: each is acceptable."""
    own = guids[client::clients]
    bidders = tokens[client::clients]
    turn = -1

    def next_request() -> bytes:
        nonlocal turn
        turn += 1
        price = 10 + turn // len(own)
        body = f'{{"price": "{price}.00"}}'
        text = request.replace("{guid}", own[turn % len(own)]).replace("{token}", bidders[price % len(bidders)])
        return (text.replace("{length}", str(len(body))) + body).encode()

    return next_request


def _itself(client: Client) -> Client:
    return client


async def exchange(
    port: int, request: str, clients: int, seconds: float, guids: list[str] | None = None,
    tokens: list[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Drive `clients` connections; with `guids` and `tokens` they bid, else they repeat `request`."""
    tally = Tally()
    made = []
    for number in range(clients):
        bids = bids_of(number, request, guids, tokens, clients) if guids and tokens else None
        client = Client(tally, bids or request.encode)
        await asyncio.get_running_loop().create_connection(partial(_itself, client), "127.0.0.1", port)
        made.append(client)
    counted_from = max(tally.counts_from, time.monotonic())
    await asyncio.sleep(counted_from - time.monotonic() + seconds)
    tally.is_on = False
    took = time.monotonic() - counted_from
    for client in made:
        with contextlib.suppress(AttributeError):
            client.transport.abort()  # type: ignore[union-attr]  # never connected: nothing to close
    ms = np.array(tally.seconds) * 1000
    percentiles = np.percentile(ms, [50, 99]) if len(ms) else [float("nan")] * 2
    return {
        "per_second": len(ms) / took,
        "p50_ms": float(percentiles[0]),
        "p99_ms": float(percentiles[1]),
        "statuses": {str(status): count for status, count in tally.statuses.items()},
        "lost": tally.lost,
    }
