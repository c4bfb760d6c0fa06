"""What operators do to an auction over HTTP. Each act carries its reason, and is logged with it."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction.decisions import ActKind, Refused
from sse_auction.checks import ACT_REQUESTS, WRONG, act_of, path_of
from sse_auction.refusals import subject_of
from sse_auction.store.deletion import Deletion
from sse_auction.store.erasure import Erasure
from sse_auction.web.auctions import json_reply, refusal
from sse_auction.web.problems import Problem
from sse_auction.web.requests import admit, body_of, guid_of, operator_of, service_of
from sse_auction.wire.requests import AuctionReply, ErasedReply, EraseRequest, ReasonRequest, TermsReply


async def _carry_out(request: Request, kind: ActKind) -> Response:
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    wanted = await body_of(request, ACT_REQUESTS[kind])
    store = service_of(request).store
    terms = await store.terms_of(guid)
    if isinstance(terms, Refused):
        raise refusal(guid, "", terms)
    try:
        act = act_of(kind, wanted, terms)
    except WRONG as error:
        raise Problem("invalid", str(error)) from None
    result = await store.act(guid, act, operator.subject, wanted.reason)
    if isinstance(result, Refused):
        raise refusal(guid, subject_of(act), result)
    return json_reply(AuctionReply(TermsReply.of(result.terms), result.state, result.unpaid))


async def delete(request: Request) -> Response:
    """Delete an auction, which must not be open."""
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    wanted = await body_of(request, ReasonRequest)
    refused = await Deletion(service_of(request).store).delete(guid, operator.subject, wanted.reason)
    if refused is not None:
        raise refusal(guid, "", refused)
    return Response(status_code=204)


async def erase(request: Request) -> Response:
    """Replace a bidder's id by a pseudonym in all auctions that are over."""
    operator = operator_of(request)
    if operator.auctions is not None:
        raise Problem("forbidden", "this needs an operator's token that is good for all auctions")
    wanted = await body_of(request, EraseRequest)
    done = await Erasure(service_of(request).store).erase(wanted.bidder, operator.subject, wanted.reason)
    return json_reply(ErasedReply(done.auctions, done.still_open))


def _handler(kind: ActKind) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await _carry_out(request, kind)

    handle.__name__ = kind
    return handle


edit = _handler("edit")  # the one that is a PATCH of the auction itself
ACTS = {path_of(kind): _handler(kind) for kind in ACT_REQUESTS if kind != "edit"}
