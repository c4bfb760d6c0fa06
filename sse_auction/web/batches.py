"""New auctions over HTTP: one as JSON, or several as lines of JSON, of which all are created or none."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from sse_auction.web.auctions import create_auction, idempotency_key
from sse_auction.web.exports import Export
from sse_auction.web.problems import Problem
from sse_auction.web.requests import admit, header_of, operator_of, service_of, whole_body
from sse_auction.wire.lots import Lot, WrongEncoding, WrongLots, read_lots, read_text
from sse_auction.wire.refusals import Rejection
from sse_auction.wire.replies import AuctionReply, ProblemReply, encode

MEDIA_TYPE = "application/x-ndjson"
MAX_BATCH_BYTES = 32 * 1024 * 1024  # about 100,000 auctions; operators can fill the store anyway


async def create(request: Request) -> Response:
    """Create an auction, or all auctions of a body of several lines; only for operators."""
    operator = operator_of(request)
    if header_of(request, b"content-type").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return await create_auction(request)
    key = idempotency_key(request)
    service = service_of(request)
    body = await whole_body(request, MAX_BATCH_BYTES)
    try:
        lots = await asyncio.to_thread(_lots, body, service.settings.currency)  # may take a second; bids do not wait
        for lot in lots:
            admit(operator, lot.guid)
    except WrongEncoding as error:
        raise Problem("invalid", f"the body cannot be taken: {error}") from None
    except WrongLots as error:
        raise Problem("invalid", str(error)) from None
    answer = await service.auctioneer.create_all(lots, operator.subject, operator.subject, key)
    if isinstance(answer, Rejection):
        raise Problem.of(answer)
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-cache"}
    if answer.replayed:
        headers["idempotent-replayed"] = "true"
    return Export(b"", _lines(answer.reply), headers, status=201)


def _lots(body: bytes, currency: str) -> list[Lot]:
    return read_lots(read_text(body), is_csv=False, currency=currency)


async def _lines(results: AsyncGenerator[AuctionReply | Rejection, None]) -> AsyncGenerator[bytes, None]:
    """One line of JSON for each auction."""
    async with aclosing(results):
        async for result in results:
            yield encode(_reply(result)) + b"\n"


def _reply(result: AuctionReply | Rejection) -> AuctionReply | ProblemReply:
    if isinstance(result, Rejection):
        return ProblemReply(status=409, title="Conflict", detail=result.detail, code=result.code)
    return result
