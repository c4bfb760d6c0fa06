"""The bidders of a load run: an open loop, so that a slow service does not slow the load.

Rule: a bid is sent when it is due, even if earlier bids are not answered, and its latency counts from that moment. Each
bid has the next valid amount that this process knows. A bid that loses a race is refused; that is a normal answer.
"""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count

import httpx
import msgspec

from sse_auction.load.figures import ANSWER_SECONDS, BidCounts, Ledger, Lot
from sse_auction.wire.replies import BidReply, ProblemReply, encode
from sse_auction.wire.requests import BidRequest

# Normal refusals: the bid lost a race, or the auction ended.
ANSWERS = ("too_low", "already_leading", "not_open")


def due_moments(rate: float, ramp: float) -> Iterator[float]:
    """Seconds from the start at which bids are due: the rate (per second) rises evenly over `ramp` s, then holds."""
    in_ramp = rate * ramp / 2
    for number in count(1):
        yield math.sqrt(2 * ramp * number / rate) if number <= in_ramp else ramp + (number - in_ramp) / rate


class Bidders:
    """All bidders; each of `clients` has one bidder's token.

    `stopped` is set when the service refuses a bidder's token; `trouble` is then the reason.
    """

    def __init__(
        self, clients: Sequence[httpx.AsyncClient], lots: Sequence[Lot], ledger: Ledger, counts: BidCounts,
        max_in_flight: int, stopped: asyncio.Event,
    ) -> None:  # fmt: skip
        self._clients = clients
        self._lots = lots
        self._ledger = ledger
        self._counts = counts
        self._max_in_flight = max_in_flight
        self._stopped = stopped
        self._leaders: dict[tuple[str, int], int] = {}  # (guid, paddle) -> index of the bidder
        self._in_flight: set[asyncio.Task[None]] = set()
        self.trouble: str | None = None

    async def run(self, rate: float, ramp: float, seconds: float) -> None:
        """Send `rate` bids per second for `seconds`, after a `ramp` in seconds; then wait for the last answers."""
        start = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                for after in due_moments(rate, ramp):
                    if after > seconds or self._stopped.is_set():
                        break
                    await self._until_stopped(start + after - time.monotonic())
                    if not self._stopped.is_set():
                        present = 1.0 if after >= ramp else after / ramp
                        self._send(tasks, start + after, max(2, math.ceil(len(self._clients) * present)))
        finally:
            for client in self._clients:
                await client.aclose()

    async def _until_stopped(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopped.wait()

    def _send(self, tasks: asyncio.TaskGroup, due: float, present: int) -> None:
        """Send the bid that is due, by one of the first `present` bidders."""
        takers = [lot for lot in self._lots if lot.takes_bids]
        if not takers:
            return
        self._counts.due += 1
        if len(self._in_flight) >= self._max_in_flight:
            self._counts.unsent += 1
            return
        lot = random.choice(takers)
        task = tasks.create_task(self._bid(lot, self._bidder_for(lot, min(present, len(self._clients))), due))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    def _bidder_for(self, lot: Lot, present: int) -> int:
        """A random bidder, but not the leader, because that bid would be refused; unless there is only one bidder."""
        bidder = random.randrange(present)
        leader = lot.state.leader if lot.state else None
        if leader is not None and self._leaders.get((lot.guid, leader)) == bidder:
            return (bidder + 1) % present
        return bidder

    async def _bid(self, lot: Lot, bidder: int, due: float) -> None:
        assert lot.state is not None
        assert lot.state.next_bid is not None, "it takes bids"
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
        body = encode(BidRequest(lot.state.next_bid))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self._clients[bidder].post(f"/auctions/{lot.guid}/bids", content=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._counts.failed["not connected"] += 1
        except (httpx.HTTPError, TimeoutError):
            self._counts.unknown += 1
        else:
            self._take(lot, bidder, response, due, time.monotonic())

    def _take(self, lot: Lot, bidder: int, response: httpx.Response, due: float, answered: float) -> None:
        try:
            if response.status_code == 201:
                reply = msgspec.json.decode(response.content, type=BidReply)
                self._leaders[lot.guid, reply.paddle] = bidder
                self._ledger.accepted(lot, reply.state, due, answered)
                self._counts.accepted += 1
                self._counts.latency_ms.append((answered - due) * 1000)
                return
            problem = msgspec.json.decode(response.content, type=ProblemReply)
        except msgspec.DecodeError:
            self._counts.failed[str(response.status_code)] += 1
            return
        if problem.state is not None:
            lot.learn(problem.state)
        if problem.code in ANSWERS:
            self._counts.refused[problem.code] += 1
            self._counts.latency_ms.append((answered - due) * 1000)
            return
        self._counts.failed[problem.code] += 1
        if problem.code == "unauthorized":
            self.trouble = problem.detail
            self._stopped.set()
