"""The acts of operators over HTTP. Each act has a reason, which the auction's log keeps."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction.decisions import ActionKind
from sse_auction.web.auctions import json_reply
from sse_auction.web.problems import Problem
from sse_auction.web.requests import admit, body_of, guid_of, operator_of, service_of
from sse_auction.wire.refusals import Rejection
from sse_auction.wire.requests import ACT_REQUESTS, EraseRequest, ReasonRequest, path_of


async def _carry_out(request: Request, kind: ActionKind) -> Response:
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    wanted = await body_of(request, ACT_REQUESTS[kind])
    result = await service_of(request).auctioneer.act(guid, kind, wanted, operator.subject)
    if isinstance(result, Rejection):
        raise Problem.of(result)
    return json_reply(result)


async def delete(request: Request) -> Response:
    """Delete an auction that is not open."""
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    wanted = await body_of(request, ReasonRequest)
    rejection = await service_of(request).auctioneer.delete(guid, wanted, operator.subject)
    if rejection is not None:
        raise Problem.of(rejection)
    return Response(status_code=204)


async def erase(request: Request) -> Response:
    """Replace a bidder's id by a pseudonym in all auctions that are over."""
    operator = operator_of(request)
    if operator.auctions is not None:
        raise Problem("forbidden", "this needs an operator's token that is good for all auctions")
    wanted = await body_of(request, EraseRequest)
    return json_reply(await service_of(request).auctioneer.erase(wanted, operator.subject))


def _handler(kind: ActionKind) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await _carry_out(request, kind)

    handle.__name__ = kind
    return handle


edit = _handler("edit")  # this act is a PATCH of the auction itself
ACTS = {path_of(kind): _handler(kind) for kind in ACT_REQUESTS if kind != "edit"}
