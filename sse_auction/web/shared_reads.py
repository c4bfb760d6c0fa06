"""Shares one read of the store between all requests for the same auction in one turn of the event loop."""

import asyncio

from sse_auction.delivery.events import Update
from sse_auction.store.auctions import Auctions


class SharedReads:
    """Present states, encoded; all requests of one turn of the loop share one read."""

    def __init__(self, auctions: Auctions) -> None:
        self._auctions = auctions
        self._asked: dict[str, asyncio.Task[Update]] = {}  # reads that are not sent yet

    async def update(self, guid: str) -> Update:
        """The present state; its status is `unknown` when there is no auction. It is read after this call.

        Raises: `StoreError`.
        """
        shared = self._asked.get(guid)
        if shared is None:
            shared = self._asked[guid] = asyncio.create_task(self._read(guid))
        return await asyncio.shield(shared)  # a cancelled request must not cancel the read of others

    async def _read(self, guid: str) -> Update:
        del self._asked[guid]  # from now on it is too late to join
        return Update(await self._auctions.state(guid))
