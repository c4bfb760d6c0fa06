"""Leases: of many processes, one has it at a time; who dies loses it when its time is up."""

from sse_auction.store.scripts import Script
from sse_auction.store.store_connection import StoreConnection


class Lease:
    """One lease, by the name of its key."""

    _script = Script("lease", decides=False)

    def __init__(self, connection: StoreConnection, key: str) -> None:
        self._connection = connection
        self._key = key

    async def hold(self, holder: str, life_seconds: float) -> bool:
        """Take it or keep it for `life_seconds` from now; whether `holder` has it."""
        return await self._run(holder, str(int(life_seconds * 1000)))

    async def release(self, holder: str) -> bool:
        """Give it back; whether `holder` had it."""
        return await self._run(holder, "")

    async def _run(self, holder: str, life_ms: str) -> bool:
        reply: int = await self._script.run(self._connection.link(), (self._key,), (holder, life_ms))
        return reply == 1
