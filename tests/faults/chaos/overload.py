"""More load than one process can serve, as a program: `python -m tests.faults.chaos.overload '{"port": ..., ...}'`.

Streams open at an even pace; polls and bids are sent when due, however slow the answers are, and each answer's time
counts from the moment it was due. What was measured is printed as one JSON object.
"""

import asyncio
import gc
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import cast

import msgspec
import uvloop

from tests.support.harness import TOKENS

CONNECTIONS = 500  # kept alive, of polls and of bids each
BIDDERS = 500
SETTLED_WITHIN_SECONDS = 20.0  # after the last was asked for


class Wanted(msgspec.Struct):
    """The kinds of load and their duration; a rate of 0 means none."""

    port: int
    guid: str
    seconds: float
    streams: int = 0
    streams_within_seconds: float = 3.0
    polls_per_second: int = 0
    bids_per_second: int = 0


class Measured(msgspec.Struct):
    """What was measured."""

    streams_opened: int = 0
    streams_turned_away: int = 0
    streams_lost: int = 0  # refused, reset, or ended without a `busy` event
    states: int = 0
    statuses: dict[str, int] = {}
    answered: int = 0
    unanswered: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    latest_price: int = 0


class Stream(asyncio.Protocol):
    """A viewer that counts."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._is_open = False
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(
            f"GET /auctions/{self._load.wanted.guid}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        seen = self._load.seen
        seen.states += data.count(b"event: price")
        if b"event: busy" in data:
            self._is_busy = True
            seen.streams_turned_away += 1
        elif not self._is_open and b"event: " in data:
            self._is_open = True
            seen.streams_opened += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_busy and not self._load.is_over:
            self._load.seen.streams_lost += 1


class Asker(asyncio.Protocol):
    """A kept-alive connection; requests that are due during another one wait in a queue."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._due: deque[float] = deque()
        self._asked_for: float | None = None
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, due: float) -> None:
        self._due.append(due)
        if self._asked_for is None:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._asked_for = self._due.popleft()
        self._transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        if len(body) < length:
            return
        self._buffer = b""
        assert self._asked_for is not None
        self._load.take(head[9:12].decode(), body, time.monotonic() - self._asked_for)
        self._asked_for = None
        if self._due:
            self._send()

    @property
    def waiting(self) -> int:
        """Requests that are due and not answered."""
        return len(self._due) + (self._asked_for is not None)


class Load:
    """The whole load: streams, polls and bids."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.seen = Measured()
        self.is_over = False
        self._statuses: Counter[str] = Counter()
        self._seconds = array("d")
        self._price = 10
        self._bids = 0
        self._tokens = (
            [TOKENS.issue(f"overload-{number}") for number in range(BIDDERS)] if wanted.bids_per_second else []
        )

    def next_request(self) -> bytes:
        """A poll, or a bid of what should be the next price."""
        path = f"/auctions/{self.wanted.guid}"
        if not self._tokens:
            return f"GET {path}/price HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self._bids += 1
        token = self._tokens[self._bids % BIDDERS]
        body = f'{{"price":"{self._price}.00"}}'
        return (
            f"POST {path}/bids HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def take(self, status: str, body: bytes, seconds: float) -> None:
        """Count an answer; learn the next price from it."""
        self._statuses[status] += 1
        self._seconds.append(seconds)
        if self._tokens:
            at = body.find(b'"next_bid":"')
            if at >= 0:
                self._price = max(self._price, int(body[at + 12 : body.index(b".", at)]))

    async def run(self) -> Measured:
        """Make the load, and return what was measured."""
        rate = self.wanted.polls_per_second + self.wanted.bids_per_second
        askers = [await self._connect() for _ in range(CONNECTIONS)] if rate else []
        tasks = [asyncio.create_task(self._open_streams())]
        if askers:
            tasks.append(asyncio.create_task(self._ask(askers, rate)))
        await asyncio.sleep(self.wanted.seconds)
        await asyncio.gather(*tasks)
        await self._settled(askers)
        self.is_over = True
        seconds = sorted(self._seconds)
        self.seen.statuses = dict(self._statuses)
        self.seen.answered, self.seen.unanswered = len(seconds), sum(asker.waiting for asker in askers)
        self.seen.latest_price = self._price
        if seconds:
            self.seen.p50_ms, self.seen.p99_ms = (1000 * seconds[int(len(seconds) * part)] for part in (0.5, 0.99))
        return self.seen

    async def _settled(self, askers: list[Asker]) -> None:
        """Wait, for a limited time, until all requests are answered and every stream is open or turned away."""
        deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            seen = self.seen
            decided = seen.streams_opened + seen.streams_turned_away + seen.streams_lost
            if decided >= self.wanted.streams and not any(asker.waiting for asker in askers):
                return
            await asyncio.sleep(0.05)

    async def _connect(self) -> Asker:
        loop = asyncio.get_running_loop()
        _, asker = await loop.create_connection(lambda: Asker(self), "127.0.0.1", self.wanted.port)
        return asker

    async def _open_streams(self) -> None:
        pace = self.wanted.streams / self.wanted.streams_within_seconds
        opening: set[asyncio.Task[None]] = set()
        async for _ in paced(pace, lambda opened: opened < self.wanted.streams):
            task = asyncio.create_task(self._open_stream())
            opening.add(task)
            task.add_done_callback(opening.discard)
        await asyncio.gather(*opening)

    async def _open_stream(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: Stream(self), "127.0.0.1", self.wanted.port)
        except OSError:
            self.seen.streams_lost += 1

    async def _ask(self, askers: list[Asker], rate: int) -> None:
        end = time.monotonic() + self.wanted.seconds
        number = 0
        async for due in paced(rate, lambda _: time.monotonic() < end):
            askers[number % len(askers)].ask(due)
            number += 1


async def paced(rate: float, goes_on: Callable[[int], bool]) -> AsyncIterator[float]:
    """The moments at which something is due, `rate` a second; none comes early."""
    begun, number = time.monotonic(), 0
    while rate and goes_on(number):
        due = begun + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(max(early, 0.002))
        yield due
        number += 1


def main() -> None:
    """Read what is wanted, and print what was measured."""
    gc.disable()  # its pauses would count as the service's
    wanted = msgspec.json.decode(sys.argv[1], type=Wanted)
    seen = uvloop.run(Load(wanted).run())
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")


if __name__ == "__main__":
    main()
