"""One stream of a load run. It behaves like an EventSource: it resumes, waits the `retry` time, and stops at a refusal.

Rule: every connection and every attempt adds one word to the counts. Only a final state, 204 or another status than
200 ends the stream for good. This module judges nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Literal, TypeAlias

import httpx
import msgspec

from sse_auction.client.stream import AuctionStream, StreamEvent, StreamRefused
from sse_auction.load.figures import Ledger, StreamCounts, View

End: TypeAlias = Literal["closed", "ended", "lost", "silent", "busy", "refused", "not connected"]


class Viewer:
    """Keeps one stream of `view`'s lot open; `open_http` makes a separate client, like a browser."""

    def __init__(
        self, open_http: Callable[[], httpx.AsyncClient], view: View, ledger: Ledger, counts: StreamCounts
    ) -> None:
        self._open_http = open_http
        self._view = view
        self._ledger = ledger
        self._counts = counts
        self._was_open = False

    async def run(self) -> None:
        """Watch until the auction ends, the service refuses, or the task is cancelled."""
        async with self._open_http() as http:
            stream = AuctionStream(http, self._view.lot.guid, http.timeout)
            while True:
                end = await self._follow(stream)
                self._counts.ends[end] += 1
                if end in ("closed", "refused"):
                    return
                await asyncio.sleep(stream.retry_seconds)

    async def _follow(self, stream: AuctionStream) -> End:
        """Follow one connection from its opening to its end; the word for that end."""
        is_open = False
        began = time.monotonic()
        try:
            async with aclosing(stream.connect()) as events:
                async for event in events:
                    if event.kind == "open":
                        is_open = True
                        self._opened((time.monotonic() - began) * 1000)
                    elif end := self._take(event):
                        return end
                return "ended"
        except StreamRefused as refused:
            return "closed" if refused.status == 204 else "refused"
        except httpx.ReadTimeout:
            return "silent" if is_open else "not connected"
        except (httpx.HTTPError, msgspec.DecodeError):
            return "lost" if is_open else "not connected"
        finally:
            self._counts.open -= is_open

    def _opened(self, took_ms: float) -> None:
        self._counts.open += 1
        self._counts.opening_ms.append(took_ms)
        if self._was_open:
            self._counts.reconnects += 1
        else:
            self._counts.opened += 1
        self._was_open = True

    def _take(self, event: StreamEvent) -> End | None:
        if event.state is not None:
            self._ledger.shown(self._view, event.state, time.monotonic())
            return "closed" if event.state.is_final else None
        if event.kind == "busy":
            self._counts.busy += 1
            return "busy"
        self._counts.not_live += event.kind == "not_live"
        return None
