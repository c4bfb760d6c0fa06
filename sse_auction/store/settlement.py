"""Opens, closes and settles auctions when their time comes, once each, in the process that looks first."""

import asyncio
import logging
import math
import random
from collections.abc import Mapping

from sse_auction.auction.decisions import Refused
from sse_auction.store import keys
from sse_auction.store.auctions import Auctions, keys_of_decisions, or_empty
from sse_auction.store.connection import StoreError
from sse_auction.store.scripts import Script

log = logging.getLogger(__name__)

SETTLED_AT_ONCE = 100  # auctions
SETTLE_SECONDS = 0.8  # between looks for auctions that opened or closed, unless one is known to be due sooner
MIN_SETTLE_SECONDS = 0.002  # leaves other tasks their turn, and bounds the loop when the store's clock was set back


class Settlement:
    """Settles one store's auctions. A task must own `run`; every process has one."""

    def __init__(self, auctions: Auctions) -> None:
        self._auctions = auctions
        self._connection = auctions.connection
        self._script = Script("settle")
        self._next_due_script = Script("next_due", decides=False)

    async def run(self) -> None:
        """Settle auctions that have closed, watched or not, until cancelled."""
        while True:
            pause = SETTLE_SECONDS * random.uniform(0.8, 1.2)
            try:
                pause = min(pause, await self.settle_due())
            except StoreError as error:
                log.debug("nothing can be settled now: %s", error)
            await asyncio.sleep(max(pause, MIN_SETTLE_SECONDS))

    async def settle_due(self) -> float:
        """Open or settle some of the auctions that are due; the seconds until the next one is due.

        Any process may do this. When many auctions are due, each process takes a random range of them, so that the
        processes do not repeat each other's work. Raises: `StoreError`; auctions that failed stay due.
        """
        link, now = self._connection.link(), self._auctions.now()
        count: int = await link.call("ZCOUNT", keys.DUE, "-inf", now)
        first = random.randint(0, max(0, count - SETTLED_AT_ONCE))
        found: list[tuple[bytes, float]] = await link.call(
            "ZRANGE", keys.DUE, "-inf", "+inf", "BYSCORE", "LIMIT", first, SETTLED_AT_ONCE, "WITHSCORES"
        )
        due = {guid.decode(): int(since) for guid, since in found if since <= now}
        await self._settle_all(due)
        if count >= SETTLED_AT_ONCE:
            return 0.0
        return (found[len(due)][1] - now) / 1000 if len(due) < len(found) else math.inf

    async def settle(self, guid: str) -> None:
        """Announce one auction's opening or settle it after its closing, if that is due and was not done yet.

        The auction is filed by its new status, and is made due again at its next change by time.
        """
        since: float | None = await self._connection.link().call("ZSCORE", keys.DUE, guid)
        await self._settle_all({guid: None if since is None else int(since)})

    async def _settle_all(self, due: Mapping[str, int | None]) -> None:
        """The same for several auctions, given with the moments at which they became due.

        Auctions that fail stay due, and the first failure is raised when the others are done. An auction that has
        become due at another moment meanwhile keeps that moment: a decision that this method has not seen set it.
        """
        if not due:
            return
        link = self._connection.link()
        results = await asyncio.gather(*map(self._settle, due), return_exceptions=True)
        if self._connection.outbox:
            await link.call("SADD", keys.OUTBOXES, *due)
        replies = {guid: reply for guid, reply in zip(due, results, strict=True) if isinstance(reply, list)}
        managed = [(guid, reply) for guid, reply in replies.items() if len(reply) > 1]
        await self._auctions.catalogue.file(
            *(self._auctions.terms_and_state(guid, r[1], r[2], r[3], r[7:]) for guid, r in managed)
        )
        await asyncio.gather(
            *(
                self._next_due_script.run(link, [keys.DUE], [guid, or_empty(due[guid]), reply[0].decode()])
                for guid, reply in replies.items()
            )
        )
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _settle(self, guid: str) -> list[bytes]:
        """The reply of settle.lua; `[b""]` when there is no managed auction."""
        currency = await self._auctions.currency_of(guid)
        if isinstance(currency, Refused):
            return [b""]
        arguments = self._auctions.shared_arguments(currency)
        reply: list[bytes] = await self._script.run(self._connection.link(), keys_of_decisions(guid), arguments)
        return reply
