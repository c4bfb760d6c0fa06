"""One stream of a load run, as an EventSource would hold it: it resumes, waits as told, and gives up when refused.

Rule: every connection and every attempt ends with one word in the counts, and only a final state, 204 or a status
that is not 200 ends the stream for good. It judges nothing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

import httpx
import msgspec
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse

from sse_auction.auction.state import State
from sse_auction.load.figures import Ledger, StreamCounts, View

SILENCE_SECONDS = 45.0  # three heartbeats: then the line is dead
RECONNECT_SECONDS = 3.0  # until the server says otherwise

End: TypeAlias = Literal["closed", "ended", "lost", "silent", "busy", "refused", "not connected"]


class Viewer:
    """Keeps one stream of `view`'s lot open; `open_http` makes the client, one of its own as every browser is."""

    def __init__(
        self, open_http: Callable[[], httpx.AsyncClient], view: View, ledger: Ledger, counts: StreamCounts
    ) -> None:
        self._open_http = open_http
        self._view = view
        self._ledger = ledger
        self._counts = counts
        self._last_event_id = ""
        self._retry_seconds = RECONNECT_SECONDS
        self._was_open = False

    async def run(self) -> None:
        """Watch until the auction ends, the service refuses, or the task is cancelled."""
        async with self._open_http() as http:
            while True:
                end = await self._follow(http)
                self._counts.ends[end] += 1
                if end in ("closed", "refused"):
                    return
                await asyncio.sleep(self._retry_seconds)

    async def _follow(self, http: httpx.AsyncClient) -> End:
        """One connection, from its opening to its end."""
        headers = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        is_open = False
        began = time.monotonic()
        try:
            path = f"/auctions/{self._view.lot.guid}/stream"
            async with aconnect_sse(http, "GET", path, headers=headers) as source:
                if source.response.status_code != 200:
                    return "closed" if source.response.status_code == 204 else "refused"
                is_open = True
                self._opened((time.monotonic() - began) * 1000)
                async for event in source.aiter_sse():
                    if end := self._take(event):
                        return end
                return "ended"
        except httpx.ReadTimeout:
            return "silent" if is_open else "not connected"
        except SSEError:
            return "refused"
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

    def _take(self, event: ServerSentEvent) -> End | None:
        at = time.monotonic()
        if event.retry is not None:
            self._retry_seconds = event.retry / 1000
        if event.id:
            self._last_event_id = event.id
        match event.event:
            case "price" | "closed":
                state = msgspec.json.decode(event.data, type=State)
                self._ledger.shown(self._view, state, at)
                return "closed" if state.is_final else None
            case "busy":
                self._counts.busy += 1
                return "busy"
            case "hb" if '"live":false' in event.data:
                self._counts.not_live += 1
        return None
