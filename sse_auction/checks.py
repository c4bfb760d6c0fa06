"""What is asked for is checked here, whichever way it came: by HTTP, on the command line, from a file.

Rule: shapes (`wire`) hold the limits of single values; what needs the auction's terms is checked by the functions here
and by `wire.new_auction`. `WRONG` is all that they raise. Nothing here asks a store or knows of HTTP.
"""

from typing import TypeVar

import msgspec

from sse_auction.auction.decisions import Act, ActKind
from sse_auction.auction.money import AmountError
from sse_auction.auction.terms import Terms
from sse_auction.texts import WrongText
from sse_auction.wire.requests import (
    EditRequest,
    ExtendRequest,
    ReasonRequest,
    ReopenRequest,
    SecondOfferRequest,
    VoidRequest,
    read_reserve,
    to_builtins,
)

WRONG = (WrongText, AmountError, msgspec.ValidationError)  # the message of each is a sentence for the sender

_T = TypeVar("_T")

ACT_REQUESTS: dict[ActKind, type[ReasonRequest]] = {
    "cancel": ReasonRequest,
    "close": ReasonRequest,
    "extend": ExtendRequest,
    "pause": ReasonRequest,
    "resume": ReasonRequest,
    "void": VoidRequest,
    "edit": EditRequest,
    "reopen": ReopenRequest,
    "second_offer": SecondOfferRequest,
    "unpaid": ReasonRequest,
    "paid": ReasonRequest,
    "archive": ReasonRequest,
    "unarchive": ReasonRequest,
}


def path_of(kind: ActKind) -> str:
    """What an act is called in a path."""
    return kind.replace("_", "-")


def checked(request: _T) -> _T:
    """`request`, which was not decoded from JSON, if it keeps the limits that decoding would have held; or `WRONG`."""
    return msgspec.convert(to_builtins(request), type(request))


def act_of(kind: ActKind, wanted: ReasonRequest, terms: Terms) -> Act:
    """The act that a request asks for in an auction with these terms; `WRONG` when they do not allow it."""
    match wanted:
        case ExtendRequest():
            return Act("extend", closes_at=wanted.closes_at)
        case ReopenRequest():
            return Act("reopen", closes_at=wanted.closes_at)
        case SecondOfferRequest():
            return Act("second_offer", paddle=wanted.paddle)
        case VoidRequest():
            return Act("void", bidder=wanted.bidder, paddle=wanted.paddle)
        case EditRequest(reserve=str(text)):
            reserve = read_reserve(text, terms.buy_now, terms.currency)
            return Act("edit", closes_at=wanted.closes_at, title=wanted.title, reserve=reserve)
        case EditRequest(reserve=None):
            return Act("edit", closes_at=wanted.closes_at, title=wanted.title, reserve=None)
        case EditRequest():
            return Act("edit", closes_at=wanted.closes_at, title=wanted.title)
        case _:
            return Act(kind)
