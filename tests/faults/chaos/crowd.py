"""Watchers, pollers and bidders: each behaves as a client of its kind, and records what it sees.

A watcher is an EventSource: after any end it waits for the time that `retry` gave, and comes back with the last id. A
poller asks again and again. A bidder bids the next bid of the last answer, sometimes less. Without an answer it mostly
sends the same bid again with its key. What must not happen to any of them is recorded as a violation.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.harness import EventReader, bidder
from tests.support.history import Accepted, Answer, Bid, Operation, Refused, Unknown
from tests.support.machine import MachineDelay

DEADLINE_SECONDS = 2.0  # of a request; the service's setting
ANSWERED_WITHIN_SECONDS = DEADLINE_SECONDS + 1.5  # and what a busy machine adds, as far as it can be measured
GIVE_UP_SECONDS = 12.0  # a client then gives a request up
SAME_OUTAGE_SECONDS = 0.1  # a new stream gets the last known state first, and then that it is not live


@dataclass
class Notes:
    """What a crowd counted."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    machine_delay: Callable[[], MachineDelay] = lambda: MachineDelay([])


class Watcher:
    """One EventSource."""

    def __init__(self, name: str, notes: Notes, path: str) -> None:
        self.name = name
        self.last: dict[str, Any] | None = None  # the state that it shows
        self.is_closed = False  # it has received the end
        self.is_live = False
        self.is_connected = False
        self.live_changes: list[tuple[float, bool]] = []
        self.longest_outage_seconds = 0.0
        self.retry_ms: list[int] = []
        self.endings: list[float] = []  # when its connections ended
        self._outage_since: float | None = None
        self._notes = notes
        self._path = path
        self._tag = ""

    async def watch(self, port: int) -> None:
        """Watch until the auction's end, or until cancelled."""
        while not self.is_closed:
            reader = writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await self._follow(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                self._notes.counts["connections refused or lost"] += 1
            finally:
                self.is_connected = False
                self.endings.append(time.monotonic())
                self._set_live(False)
                if writer is not None:
                    writer.transport.abort()
            if not self.is_closed:
                self._notes.counts["reconnects"] += 1
                await asyncio.sleep((self.retry_ms[-1] if self.retry_ms else 1000) / 1000)

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last_id = f"Last-Event-ID: {self._tag}\r\n" if self._tag else ""
        writer.write(f"GET {self._path} HTTP/1.1\r\nHost: x\r\n{last_id}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 204:
            self.is_closed = True
            return
        if status != 200:
            self._notes.violations.append(f"{self.name}: a stream was answered {status}, which ends an EventSource")
            return
        self.is_connected = True
        events = EventReader(pieces(reader))
        self.retry_ms = events.retry_ms = self.retry_ms[-1:]
        try:
            while True:
                event = await events.next()
                self._notes.counts["events"] += 1
                self._take(event.name, event.data, event.id)
        except StopAsyncIteration:
            pass

    def _take(self, name: str, data: dict[str, Any], identity: str | None) -> None:
        match name:
            case "hb":
                self._set_live(data["live"])
            case "busy":
                self._notes.counts[f"busy: {data['reason']}"] += 1
            case "price" | "closed":
                self._notes.counts["states seen by watchers"] += 1
                note_step_back(self._notes, self.name, self.last, data)
                self.last = data
                self._tag = identity or ""
                self._set_live(True)
                self.is_closed = self.is_closed or name == "closed"

    def _set_live(self, live: bool) -> None:
        if live == self.is_live:
            return
        now = time.monotonic()
        if live and self._outage_since is not None:
            self.longest_outage_seconds = max(self.longest_outage_seconds, now - self._outage_since)
        elif not live:
            resumed_at = self.live_changes[-1][0] if self.live_changes else float("-inf")
            if self._outage_since is None or now - resumed_at > SAME_OUTAGE_SECONDS:
                self._outage_since = now
        self.is_live = live
        self.live_changes.append((now, live))

    def first_change(self, live: bool, after: float) -> float | None:
        """How many seconds after that moment it received that prices are live, or not."""
        return next((at - after for at, shown_live in self.live_changes if at >= after and shown_live is live), None)


async def pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Take the events of a connection, until it ends."""
    while data := await reader.read(65_536):
        yield data


def note_step_back(notes: Notes, who: str, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Record a violation when a revision went back within an epoch."""
    if before is None or before["tag"].partition("-")[0] != now["tag"].partition("-")[0]:
        return
    if now["rev"] < before["rev"]:
        notes.violations.append(f"{who}: revision {now['rev']} was shown after {before['rev']}: {before} then {now}")


class Client:
    """A client that sends requests; it checks what must be true of every answer."""

    def __init__(self, name: str, notes: Notes, rng: random.Random, base_url: str, guid: str) -> None:
        self.name = name
        self.rng = rng
        self.notes = notes
        self.guid = guid
        self.last: dict[str, Any] | None = None
        self.http = httpx.AsyncClient(base_url=base_url, timeout=GIVE_UP_SECONDS)

    async def ask(self, method: str, path: str, held_seconds: float = 0.0, **options: Any) -> httpx.Response | None:
        """The answer, or None without one."""
        started, delay = time.monotonic(), self.notes.machine_delay()
        try:
            reply = await self.http.request(method, path, **options)
        except httpx.TransportError as error:
            self.notes.counts["requests without an answer"] += 1
            if isinstance(error, httpx.ReadTimeout):
                self.notes.violations.append(
                    f"{self.name}: {method} {path} was not answered within {GIVE_UP_SECONDS} s"
                )
            return None
        took = time.monotonic() - started
        self.notes.slowest_seconds = max(self.notes.slowest_seconds, took - held_seconds)
        if took > held_seconds + ANSWERED_WITHIN_SECONDS + (added := delay.seconds):
            self.notes.violations.append(
                f"{self.name}: {method} {path} took {took:.2f} s, past its deadline; the machine added {added:.2f} s"
            )
        if reply.status_code == 503:
            self.notes.counts["answered 503"] += 1
            is_problem = reply.headers.get("content-type") == "application/problem+json"
            if not is_problem or int(reply.headers.get("retry-after", 0)) < 1:
                self.notes.violations.append(f"{self.name}: a 503 without Retry-After or problem: {reply.text}")
        elif reply.status_code >= 500:
            self.notes.violations.append(f"{self.name}: {method} {path} was answered {reply.status_code}: {reply.text}")
        return reply

    def see(self, state: dict[str, Any] | None) -> None:
        """Take a state into account."""
        if state is not None:
            note_step_back(self.notes, self.name, self.last, state)
            self.last = state


class Poller(Client):
    """An older client, which polls."""

    async def poll(self, stopping: asyncio.Event, pause_seconds: float) -> None:
        """Poll until `stop` is set: mostly at once, sometimes held until there is news."""
        while not stopping.is_set():
            wait = self.rng.choice((0, 0, 0, 1))
            known = {"If-None-Match": f'"{self.last["tag"]}"'} if self.last else {}
            path = f"/auctions/{self.guid}/price" + (f"?wait={wait}" if wait else "")
            reply = await self.ask("GET", path, held_seconds=wait, headers=known)
            self.notes.counts["polls"] += 1
            if reply is not None and reply.status_code == 200:
                self.notes.counts["states seen by pollers"] += 1
                self.see(reply.json())
            await pause(stopping, self.rng.expovariate(1 / pause_seconds))


class Bidder(Client):
    """A bidder."""

    def __init__(self, name: str, notes: Notes, rng: random.Random, base_url: str, guid: str) -> None:
        super().__init__(name, notes, rng, base_url, guid)
        self.history: list[Operation] = []
        self._headers = bidder(name)
        self._number = 0  # of the bid, for its key

    async def bid(self, stopping: asyncio.Event, pause_seconds: float) -> None:
        """Bid until `stop` is set."""
        while not stopping.is_set():
            self._number += 1
            key = f"{self.name}-{self._number}"
            wanted = self._wanted()
            answer = await self.place(wanted, key)
            while isinstance(answer, Unknown) and not stopping.is_set() and self.rng.random() < 0.9:
                await pause(stopping, self.rng.uniform(0.05, 0.6))
                self.notes.counts["bids sent again"] += 1
                answer = await self.place(wanted, key)
            await pause(stopping, self.rng.expovariate(1 / pause_seconds))

    def _wanted(self) -> str:
        """The next bid of the last answer; sometimes less, or a little more."""
        if self.last is None or self.last["next_bid"] is None:
            return "10.00"
        least = float(self.last["next_bid"])
        return f"{max(1, least + self.rng.choice((-1, 0, 0, 0, 1, 3))):.2f}"

    async def place(self, price: str, key: str) -> Answer:
        """Send one bid, and record the request and the answer."""
        asked_at = time.monotonic()
        headers = {**self._headers, "Idempotency-Key": key}
        reply = await self.ask("POST", f"/auctions/{self.guid}/bids", json={"price": price}, headers=headers)
        answer = self._read(reply)
        kind = {Accepted: "accepted", Refused: "refused"}.get(type(answer), "unknown")
        self.notes.counts["bids tried"] += 1
        self.notes.counts[f"bids {kind}"] += 1
        answered_at = float("inf") if isinstance(answer, Unknown) else time.monotonic()
        request = Bid(self.name, minor_units(price), key)
        self.history.append(Operation(asked_at, answered_at, request, answer))
        return answer

    def _read(self, reply: httpx.Response | None) -> Answer:
        if reply is None or reply.status_code == 503:
            return Unknown()
        body = reply.json()
        if reply.status_code == 201:
            if "idempotent-replayed" in reply.headers:
                self.notes.counts["bids with a first answer that was repeated"] += 1
            else:
                self.see(body["state"])
            return Accepted(body["seq"], minor_units(body["state"]["price"]))
        if body["code"] in ("too_low", "already_leading", "not_open"):
            if "idempotent-replayed" not in reply.headers:
                self.see(body["state"])
            return Refused(body["code"])
        self.notes.counts[f"bids answered {body['code']}"] += 1
        return Unknown()


def minor_units(price: str) -> int:
    """Of the crowd's auctions, with a currency of two decimals."""
    whole, _, part = price.partition(".")
    return int(whole) * 100 + int(part)


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for that time, or until `stop` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


class Crowd:
    """All clients of one auction."""

    def __init__(self, rng: random.Random, port: int, guid: str, *, watchers: int, pollers: int, bidders: int) -> None:
        self.notes = Notes()
        self.guid = guid
        self._port = port
        url = f"http://127.0.0.1:{port}"
        path = f"/auctions/{guid}/stream"
        self.watchers = [Watcher(f"watcher-{number}", self.notes, path) for number in range(watchers)]
        self.pollers = [Poller(f"poller-{number}", self.notes, _own(rng), url, guid) for number in range(pollers)]
        self.bidders = [Bidder(f"bidder-{number}", self.notes, _own(rng), url, guid) for number in range(bidders)]
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all clients."""
        self._watching = [asyncio.create_task(watcher.watch(self._port)) for watcher in self.watchers]
        self._start_asking()

    def _start_asking(self) -> None:
        self._tasks = [
            *(asyncio.create_task(poller.poll(self._stopping, 0.15)) for poller in self.pollers),
            *(asyncio.create_task(bidder.bid(self._stopping, 0.1)) for bidder in self.bidders),
        ]

    @property
    def history(self) -> list[Operation]:
        """The requests of all bidders, and their answers."""
        return [operation for each in self.bidders for operation in each.history]

    async def stop_asking(self) -> None:
        """Let pollers and bidders finish; watchers stay."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def begin_anew(self) -> None:
        """Start pollers and bidders on another auction of the same name; earlier answers do not count."""
        for client in (*self.pollers, *self.bidders):
            client.last = None
        for each in self.bidders:
            each.history.clear()
        self._stopping.clear()
        self._start_asking()

    async def leave(self) -> None:
        """Stop all clients."""
        self._stopping.set()
        for task in (*self._tasks, *self._watching):
            task.cancel()
        ended = await asyncio.gather(*self._tasks, *self._watching, return_exceptions=True)
        for client in (*self.pollers, *self.bidders):
            await client.http.aclose()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def check_alive(self) -> None:
        """Raise the exception that ended a client, if one did."""
        for task in (*self._tasks, *self._watching):
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error


def _own(rng: random.Random) -> random.Random:
    return random.Random(rng.random())
