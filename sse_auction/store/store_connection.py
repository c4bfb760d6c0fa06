"""The connection to the store that all its users share.

It is kept up, and while it is up this process knows whether there is an outbox.
"""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any, Literal, TypeAlias

from sse_auction.metrics import STORE_ERRORS
from sse_auction.store import keys
from sse_auction.store.connection import CommandError, Connection, StoreError, StoreUnavailable, reconnecting

log = logging.getLogger(__name__)

_OUTBOX_LOOK_SECONDS = 0.25  # between looks whether there is an outbox, where the store does not say

Told: TypeAlias = Literal["", "events", "bids"]


class StoreConnection:
    """Connected to one Redis or Valkey as long as `run` runs, which must be owned by a task.

    `timeout` (seconds) is the deadline of each call.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.timeout = timeout
        self._url = url
        self._link: Connection | None = None
        self._connected = asyncio.Event()
        self._outbox: Told = ""
        self._outbox_changed = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with aclosing(reconnecting(self._url, self.timeout, self._on_push)) as links:
            async for link in links:
                try:
                    await self._follow_outbox(link)
                except StoreError as error:
                    log.debug("the connection ends: %s", error)
                finally:
                    self._connected.clear()
                    self._link = None

    async def connected(self) -> None:
        """Wait until the store is connected."""
        await self._connected.wait()

    @property
    def is_connected(self) -> bool:
        """Whether there is a live connection."""
        return self._link is not None

    def link(self) -> Connection:
        """The live connection; `StoreUnavailable` where there is none."""
        if self._link is None:
            STORE_ERRORS.labels("unreachable").inc()
            raise StoreUnavailable("the store is not reachable")
        return self._link

    # --- whether others are to be told -------------------------------------------------------------------------

    @property
    def outbox(self) -> Told:
        """What the scripts put into the outboxes: as the store has it, whoever sends it, and from where."""
        return self._outbox

    async def keep_outbox(self, told: Told, life_seconds: float, *, anew: bool) -> None:
        """Have it told for so long from now; `anew`, in place of what another process has said."""
        life_ms = int(life_seconds * 1000)
        await self.link().transaction(
            ("SET", keys.WEBHOOKS, told, "PX", life_ms, *([] if anew else ["NX"])),
            ("PEXPIRE", keys.WEBHOOKS, life_ms),
        )
        self._outbox = told if anew else self._outbox or told  # at once; and then as it is read

    async def _follow_outbox(self, link: Connection) -> None:
        """Be connected by `link` until that is lost, and know all the while whether there is an outbox.

        It is read before the first decision leaves, and the store says when it changes on the connection by which
        decisions go; so no decision of a process that has been cut off from elsewhere goes by what was before.
        """
        link.when_lost(self._outbox_changed.set)
        says_changes = await self._tracks_outbox(link)
        while True:
            link.check()
            self._outbox_changed.clear()
            try:
                told = await link.call("GET", keys.WEBHOOKS)
                self._outbox = "" if told is None else "bids" if told == b"bids" else "events"
            except CommandError as error:
                log.debug("whether there is an outbox cannot be read: %s", error)
            except StoreUnavailable:
                await asyncio.sleep(_OUTBOX_LOOK_SECONDS)  # it may be loading, or slow; or it is gone
                continue
            self._link = link
            self._connected.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if says_changes else _OUTBOX_LOOK_SECONDS):
                    await self._outbox_changed.wait()

    async def _tracks_outbox(self, link: Connection) -> bool:
        try:
            await link.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", keys.WEBHOOKS)
        except CommandError as error:
            log.debug("the store does not say when there is an outbox, so it is asked: %s", error)
            return False
        return True

    def _on_push(self, push: list[Any]) -> None:
        """It has changed. Until it is read again there is one: a message for nobody does no harm."""
        self._outbox = self._outbox or "events"
        self._outbox_changed.set()
