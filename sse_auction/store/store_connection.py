"""The connection to the store that all its users share.

It reconnects after a loss. While it is connected, this process knows whether the scripts must write to the outbox.
"""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any, Literal, TypeAlias

from sse_auction.metrics import STORE_ERRORS
from sse_auction.store import keys
from sse_auction.store.connection import CommandError, Connection, StoreError, StoreUnavailable, reconnecting

log = logging.getLogger(__name__)

_OUTBOX_LOOK_SECONDS = 0.25  # between reads of the outbox setting, when the store does not push its changes

OutboxContent: TypeAlias = Literal["", "events", "bids"]


class StoreConnection:
    """A connection to one Redis or Valkey, kept open while `run` runs. A task must own `run`.

    `timeout` (seconds) is the deadline of each call.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.timeout = timeout
        self._url = url
        self._link: Connection | None = None
        self._connected = asyncio.Event()
        self._outbox: OutboxContent = ""
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
        """The live connection. Raises: `StoreUnavailable` when there is none; nothing was sent."""
        if self._link is None:
            STORE_ERRORS.labels("unreachable").inc()
            raise StoreUnavailable("the store is not reachable")
        return self._link

    # --- what the scripts write to the outbox ------------------------------------------------------------------

    @property
    def outbox(self) -> OutboxContent:
        """What the scripts write to the outboxes. The store holds this setting, for all processes."""
        return self._outbox

    async def keep_outbox(self, content: OutboxContent, life_seconds: float, *, anew: bool) -> None:
        """Keep the setting alive for `life_seconds` from now; `anew` replaces the setting of another process."""
        life_ms = int(life_seconds * 1000)
        await self.link().transaction(
            ("SET", keys.WEBHOOKS, content, "PX", life_ms, *([] if anew else ["NX"])),
            ("PEXPIRE", keys.WEBHOOKS, life_ms),
        )
        self._outbox = content if anew else self._outbox or content  # at once; the next read corrects it

    async def _follow_outbox(self, link: Connection) -> None:
        """Use `link` until it is lost, and follow the outbox setting meanwhile.

        The setting is read before the first decision leaves, and the store pushes its changes on the same connection
        that carries the decisions. So a process that was cut off never decides by an outdated setting.
        """
        link.when_lost(self._outbox_changed.set)
        says_changes = await self._tracks_outbox(link)
        while True:
            link.check()
            self._outbox_changed.clear()
            try:
                content = await link.call("GET", keys.WEBHOOKS)
                self._outbox = "" if content is None else "bids" if content == b"bids" else "events"
            except CommandError as error:
                log.debug("whether there is an outbox cannot be read: %s", error)
            except StoreUnavailable:
                await asyncio.sleep(_OUTBOX_LOOK_SECONDS)  # the store may be loading or slow, or the connection is lost
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
        """The setting has changed. Write messages until it is read again: a message without a receiver is harmless."""
        self._outbox = self._outbox or "events"
        self._outbox_changed.set()
