"""The log of an auction as a download: its public part, or for operators all of it."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.store.connection import StoreError
from sse_auction.web.problems import Problem
from sse_auction.web.requests import guid_of, is_for_operator, service_of
from sse_auction.wire.log_export import MEDIA_TYPES, Format
from sse_auction.wire.refusals import Rejection

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024  # sent at once


class Export(Response):
    """A body that is made while it is sent. When the store fails midway, it is cut and looks incomplete."""

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes, None], headers: dict[str, str], status: int = 200
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        del self.headers["content-length"]  # the length is not known
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = asyncio.create_task(_left(receive))  # needed, because sending to a closed connection is no error
        try:
            piece = self._first
            if scope["method"] != "HEAD":
                async for line in self._rest:
                    if left.done():
                        return
                    piece += line
                    if len(piece) >= PIECE_BYTES:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        piece = b""
            await send({"type": "http.response.body", "body": piece})
        except StoreError as error:
            log.error("a response of several lines was cut: %s", error)
        finally:
            left.cancel()
            await self._rest.aclose()


async def _left(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def export_csv(request: Request) -> Response:
    """The log as CSV."""
    return await _export(request, "csv")


async def export_ndjson(request: Request) -> Response:
    """The log as lines of JSON."""
    return await _export(request, "ndjson")


async def _export(request: Request, form: Format) -> Response:
    guid = guid_of(request)
    service = service_of(request)
    include_private = is_for_operator(request, guid)
    made = await service.auctioneer.export(guid, form, include_private=include_private)
    if isinstance(made, Rejection):
        raise Problem.of(made)
    first = await anext(made, b"")  # a store that fails at once gives a problem document
    headers = {
        "content-type": MEDIA_TYPES[form],
        "content-disposition": f'attachment; filename="{guid}-bids.{form}"',
        "cache-control": "no-store" if include_private else "no-cache",
        "vary": "authorization",
    }
    return Export(first, made, headers)
