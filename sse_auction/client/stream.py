"""One auction's stream of Server-Sent Events, held as an EventSource does: it resumes, and waits as it was asked."""

from collections.abc import AsyncGenerator
from typing import Literal, NamedTuple, TypeAlias

import httpx
import msgspec
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse

from sse_auction.auction.state import State

SILENCE_SECONDS = 45.0  # three heartbeats: then the line is dead
RECONNECT_SECONDS = 3.0  # until the server says otherwise

EventKind: TypeAlias = Literal["open", "state", "live", "not_live", "busy"]


class StreamEvent(NamedTuple):
    """What happened on a connection: it is open; a state; whether prices are live; or the service has no room."""

    kind: EventKind
    state: State | None = None


class StreamRefused(Exception):
    """The service answered with something else than a stream: a status and the body. 204 means that it has ended."""

    def __init__(self, status: int, body: bytes, message: str = "") -> None:
        super().__init__(message or f"the service answered {status}")
        self.status = status
        self.body = body


class AuctionStream:
    """The stream of one auction over as many connections as it takes.

    `tag` is that of the last state, by which the next connection resumes after `retry_seconds`.
    """

    def __init__(self, http: httpx.AsyncClient, guid: str, timeout: httpx.Timeout | None = None) -> None:
        self._http = http
        self._path = f"/auctions/{guid}/stream"
        self._timeout = timeout or httpx.Timeout(10.0, read=SILENCE_SECONDS)
        self.tag = ""
        self.retry_seconds = RECONNECT_SECONDS

    async def connect(self) -> AsyncGenerator[StreamEvent, None]:
        """The events of one connection, to be closed by its user; `open` comes first.

        Raises: `StreamRefused`; `httpx.HTTPError` or `msgspec.DecodeError` when the connection cannot be had, is lost
        or carries something else.
        """
        headers = {"Last-Event-ID": self.tag} if self.tag else {}
        async with aconnect_sse(self._http, "GET", self._path, headers=headers, timeout=self._timeout) as source:
            if source.response.status_code != 200:
                raise StreamRefused(source.response.status_code, await source.response.aread())
            yield StreamEvent("open")
            try:
                async for event in source.aiter_sse():
                    if found := self._read(event):
                        yield found
            except SSEError as error:  # 200, and no stream
                raise StreamRefused(200, b"", str(error)) from None

    def _read(self, event: ServerSentEvent) -> StreamEvent | None:
        if event.retry is not None:
            self.retry_seconds = event.retry / 1000
        if event.id:
            self.tag = event.id
        match event.event:
            case "price" | "closed":
                return StreamEvent("state", msgspec.json.decode(event.data, type=State))
            case "busy":
                return StreamEvent("busy")
            case "hb":
                return StreamEvent("not_live" if '"live":false' in event.data else "live")
        return None
