"""One read of the store for all who ask for the same auction at the same time."""

import asyncio

from sse_auction.delivery.events import Update
from sse_auction.store.auctions import Auctions


class SharedReads:
    """States as of now, encoded; all requests of one turn of the loop share one read."""

    def __init__(self, auctions: Auctions) -> None:
        self._auctions = auctions
        self._asked: dict[str, asyncio.Task[Update]] = {}  # reads that have not left yet

    async def update(self, guid: str) -> Update:
        """The state as of now, `unknown` when there is none. The read leaves after the last one asked for it.

        Raises: `StoreError`.
        """
        shared = self._asked.get(guid)
        if shared is None:
            shared = self._asked[guid] = asyncio.create_task(self._read(guid))
        return await asyncio.shield(shared)  # one who goes away must not take the others' answer with him

    async def _read(self, guid: str) -> Update:
        del self._asked[guid]  # from here on it is too late to join
        return Update(await self._auctions.state(guid))
