"""Deletes an auction, with all its keys, from all lists. Messages in its outbox are still sent, then `deleted`.

Rule: each step is short, however long the log is. Stored answers to requests go first, because they are found by a
scan over all keys of the store, page by page; then one script removes the auction. An interrupted deletion must be
requested again.
"""

import logging

from sse_auction.auction.decisions import Refused
from sse_auction.store import keys
from sse_auction.store.auctions import Auctions
from sse_auction.store.scripts import Script

log = logging.getLogger(__name__)

KEYS_PER_STEP = 1000


class Deletion:
    """Deletes auctions of one store."""

    def __init__(self, auctions: Auctions) -> None:
        self._auctions = auctions
        self._connection = auctions.connection
        self.script = Script("delete", verdicts=[b"deleted"])

    async def delete(self, guid: str, actor: str, reason: str) -> Refused | None:
        """Delete an auction; None when it is deleted.

        Raises: `StoreTimeout` and `StoreUnavailable`: outcome unknown. Repeating the call is safe.
        """
        record = await self._auctions.read(guid)
        if record.terms is None:
            return Refused("external", self._auctions.state_of(record)) if record.exists else Refused("unknown")
        if self._auctions.state_of(record).status != "open":  # the script refuses to delete an open auction
            await self._forget_requests(guid)
        currency = record.terms.currency
        done = await self._auctions.decide(self.script, guid, currency, (actor, reason), keys.dead(guid))
        if isinstance(done, Refused):
            return done
        log.info("auction %s was deleted by %s: %s", guid, actor, reason)
        await self._connection.link().call("SREM", keys.DEAD, guid)
        await self._auctions.catalogue.forget(record.terms)
        return None

    async def _forget_requests(self, guid: str) -> None:
        link = self._connection.link()
        for pattern in keys.answers(guid):
            cursor = b"0"
            while True:
                cursor, found = await link.call("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_PER_STEP)
                if found:
                    await link.call("UNLINK", *found)
                if cursor == b"0":
                    break
