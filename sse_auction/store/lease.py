"""Leases: one process at a time holds a lease. The lease of a dead process expires."""

from sse_auction.store.scripts import Script
from sse_auction.store.store_connection import StoreConnection


class Lease:
    """One lease, named by its key."""

    _script = Script("lease", decides=False)

    def __init__(self, connection: StoreConnection, key: str) -> None:
        self._connection = connection
        self._key = key

    async def hold(self, holder: str, life_seconds: float) -> bool:
        """Take or renew the lease for `life_seconds` from now; whether `holder` has it.

        Raises: `StoreTimeout` and `StoreUnavailable`: outcome unknown, `holder` may have the lease.
        """
        return await self._run(holder, str(int(life_seconds * 1000)))

    async def release(self, holder: str) -> bool:
        """Release the lease; whether `holder` had it. Raises: as `hold`."""
        return await self._run(holder, "")

    async def _run(self, holder: str, life_ms: str) -> bool:
        reply: int = await self._script.run(self._connection.link(), (self._key,), (holder, life_ms))
        return reply == 1
