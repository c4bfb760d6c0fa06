"""What operators do to an auction over HTTP. Each act carries its reason, and is logged with it."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction import Act
from sse_auction.decisions import Refused
from sse_auction.money import AmountError, parse_amount
from sse_auction.refusals import subject_of
from sse_auction.web.auctions import json_reply, refusal
from sse_auction.web.problems import Problem
from sse_auction.web.requests import admit, body_of, guid_of, operator_of, service_of
from sse_auction.wire import (
    AuctionReply,
    EditRequest,
    ExtendRequest,
    ReasonRequest,
    TermsReply,
    VoidRequest,
    check_title,
)


async def cancel(request: Request) -> Response:
    """Call the auction off."""
    return await _act(request, Act("cancel"), (await body_of(request, ReasonRequest)).reason)


async def close(request: Request) -> Response:
    """Let the hammer fall now."""
    return await _act(request, Act("close"), (await body_of(request, ReasonRequest)).reason)


async def pause(request: Request) -> Response:
    """Stop the auction's clock; it takes no bids meanwhile."""
    return await _act(request, Act("pause"), (await body_of(request, ReasonRequest)).reason)


async def resume(request: Request) -> Response:
    """Let the clock go on; the closing time moves by the time that was lost."""
    return await _act(request, Act("resume"), (await body_of(request, ReasonRequest)).reason)


async def extend(request: Request) -> Response:
    """Move the closing to a later time."""
    wanted = await body_of(request, ExtendRequest)
    return await _act(request, Act("extend", closes_at=wanted.closes_at), wanted.reason)


async def void(request: Request) -> Response:
    """Declare all bids of a bidder void."""
    wanted = await body_of(request, VoidRequest)
    if (wanted.bidder is None) == (wanted.paddle is None):
        raise Problem("invalid", "exactly one of bidder and paddle says whose bids are void")
    return await _act(request, Act("void", bidder=wanted.bidder, paddle=wanted.paddle), wanted.reason)


async def edit(request: Request) -> Response:
    """Change the title, the reserve, or the closing to a later time."""
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    wanted = await body_of(request, EditRequest)
    if wanted.title is None and wanted.closes_at is None and wanted.reserve is msgspec.UNSET:
        raise Problem("invalid", "nothing is to be changed; title, closes_at and reserve can be")
    currency = await service_of(request).store.currency_of(guid)
    if isinstance(currency, Refused):
        raise refusal(guid, "", currency)
    act = Act("edit", closes_at=wanted.closes_at, title=wanted.title)
    try:
        if wanted.title is not None:
            check_title(wanted.title)
        if wanted.reserve is None or isinstance(wanted.reserve, str):
            reserve = None if wanted.reserve is None else parse_amount(wanted.reserve, currency)
            act = Act("edit", closes_at=wanted.closes_at, title=wanted.title, reserve=reserve)
    except AmountError as error:
        raise Problem("invalid", str(error)) from None
    return await _act(request, act, wanted.reason)


async def _act(request: Request, act: Act, reason: str) -> Response:
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    if not reason.isprintable() or not reason.strip():
        raise Problem("invalid", f"reason {reason[:40]!r} is blank or has control characters in it")
    result = await service_of(request).store.act(guid, act, operator.subject, reason)
    if isinstance(result, Refused):
        raise refusal(guid, subject_of(act), result)
    return json_reply(AuctionReply(TermsReply.of(result.terms), result.state))


ACTS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "cancel": cancel, "close": close, "extend": extend, "pause": pause, "resume": resume, "void": void,
}  # fmt: skip
