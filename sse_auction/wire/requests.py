"""The JSON of requests, which clients send, and its conversion to domain values.

Rule: types check the limits of single values, `__post_init__` those of texts; `new_auction` and `action_of` check what
depends on the auction's terms. They raise only the exceptions in `WRONG`, for requests by HTTP, on the command line and
from a file. Nothing here calls a store or knows HTTP.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from sse_auction.auction.decisions import ActionKind, BidAmount, OperatorAction
from sse_auction.auction.increments import Increments
from sse_auction.auction.money import AmountError, check_current, format_amount, parse_amount
from sse_auction.auction.terms import (
    DEFAULT_SOFT_CLOSE,
    SOFT_CLOSE_PRESETS,
    Bidding,
    BuyNowMode,
    NewAuction,
    SoftClose,
    Terms,
    positive_amount,
    read_reserve,
)
from sse_auction.auction.texts import MAX_BIDDER, MAX_REASON, MAX_TITLE, WrongText, check_text, check_title
from sse_auction.wire.replies import SoftCloseSeconds, to_builtins

WRONG = (WrongText, AmountError, msgspec.ValidationError)  # the message of each is a sentence for the sender

_T = TypeVar("_T")

# --- shapes --------------------------------------------------------------------------------------------------------


def _text(most: int, description: str | None = None) -> msgspec.Meta:
    """The limits of a text, for the OpenAPI document; `check_text` enforces them, with a better sentence."""
    return msgspec.Meta(description=description, extra_json_schema={"minLength": 1, "maxLength": most})


_EpochMs = Annotated[int, msgspec.Meta(ge=0, le=253402300799999, description="epoch milliseconds")]
_Title = Annotated[str, _text(MAX_TITLE)]
_Bidder = Annotated[str, _text(MAX_BIDDER, "a bidder's id")]
_Reason = Annotated[str, _text(MAX_REASON, "why, for the log")]
_Amount = Annotated[str, msgspec.Meta(max_length=40, description="decimal string in the auction's currency")]


class BidRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A bid: a price, a secret maximum (in a proxy auction), or a purchase at the buy-now price.

    `confirm` is needed for an amount over a hundred times the next bid.
    """

    price: _Amount | None = None
    max: _Amount | None = None
    buy_now: bool = False
    confirm: bool = False

    def offer(self, currency: str) -> BidAmount:
        """The bid's amount in minor units of `currency`. Raises: `AmountError` with a sentence."""
        given = [name for name in ("price", "max", "buy_now") if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise AmountError(f"a bid has one of price, max and buy_now; this one has {' and '.join(given) or 'none'}")
        if self.buy_now:
            return BidAmount("buy_now")
        try:
            if self.price is not None:
                return BidAmount("price", parse_amount(self.price, currency))
            return BidAmount("max", parse_amount(self.max or "", currency))
        except AmountError as error:
            raise AmountError(f"{given[0]} {error}") from None

    @property
    def shown(self) -> str:
        """The amount as the client wrote it, for sentences."""
        return next((text for text in (self.price, self.max) if text is not None), "the buy-now price")


class ReasonRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The reason why an operator cancels, closes, pauses or resumes an auction."""

    reason: _Reason

    def __post_init__(self) -> None:
        check_text("reason", self.reason, MAX_REASON)


class ExtendRequest(ReasonRequest):
    """A later closing time."""

    closes_at: _EpochMs


class VoidRequest(ReasonRequest):
    """The bidder of a void: an id, or a paddle in this auction."""

    bidder: _Bidder | None = None
    paddle: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.bidder is None) == (self.paddle is None):
            raise WrongText("a void needs exactly one of bidder and paddle")
        if self.bidder is not None:
            check_text("bidder", self.bidder, MAX_BIDDER)


class EraseRequest(ReasonRequest):
    """The bidder to erase: a pseudonym replaces this id in all auctions that are over."""

    bidder: _Bidder

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("bidder", self.bidder, MAX_BIDDER)
        if self.bidder in self.reason:
            raise WrongText("the reason contains the bidder's id, and is kept; use other words")


class ReopenRequest(ReasonRequest):
    """The new closing of an auction that is over and takes bids again."""

    closes_at: _EpochMs


class SecondOfferRequest(ReasonRequest):
    """The underbidder who gets the lot that its winner does not take; without a paddle, the best one."""

    paddle: Annotated[int, msgspec.Meta(ge=1)] | None = None


class EditRequest(ReasonRequest):
    """The changes to a managed auction; `reserve` null removes the reserve."""

    title: _Title | None = None
    closes_at: _EpochMs | None = None
    reserve: _Amount | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.title is None and self.closes_at is None and self.reserve is msgspec.UNSET:
            raise WrongText("there is nothing to change; give title, closes_at or reserve")
        if self.title is not None:
            check_title(self.title)


class BandRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One band of an increment table."""

    start: _Amount = msgspec.field(name="from")
    step: _Amount


class BuyNowRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The price at which the lot can be bought, and for how long."""

    price: _Amount
    mode: BuyNowMode = "until_first_bid"


class CreateRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The terms of a new auction."""

    title: _Title
    start_price: _Amount
    closes_at: _EpochMs
    guid: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] | None = None
    currency: str = ""
    opens_at: _EpochMs | None = None
    increments: Annotated[str, msgspec.Meta(max_length=60)] | list[BandRequest] = "flat:1"
    seller: _Bidder | None = None
    bidding: Bidding = "manual"
    aligned: bool = False
    reserve: _Amount | None = None
    buy_now: BuyNowRequest | None = None
    soft_close: Literal["usual", "live", "judicial"] | SoftCloseSeconds | None = "usual"
    hard_close_at: _EpochMs | None = None
    max_extensions: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    priority: Annotated[list[_Bidder], msgspec.Meta(max_length=100)] = []

    def __post_init__(self) -> None:
        check_title(self.title)
        if self.seller is not None:
            check_text("seller", self.seller, MAX_BIDDER)
        for bidder in self.priority:
            check_text("priority", bidder, MAX_BIDDER)


# --- conversion ----------------------------------------------------------------------------------------------------

ACT_REQUESTS: dict[ActionKind, type[ReasonRequest]] = {
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


def path_of(kind: ActionKind) -> str:
    """The name of an act in a path."""
    return kind.replace("_", "-")


def checked(request: _T) -> _T:
    """Check a `request` that was not decoded from JSON against the limits of decoding. Raises: `WRONG`."""
    return msgspec.convert(to_builtins(request), type(request))


def action_of(kind: ActionKind, wanted: ReasonRequest, terms: Terms) -> OperatorAction:
    """The act of a request, in an auction with these terms. Raises: `WRONG` when the terms do not allow it."""
    match wanted:
        case ExtendRequest():
            return OperatorAction("extend", closes_at=wanted.closes_at)
        case ReopenRequest():
            return OperatorAction("reopen", closes_at=wanted.closes_at)
        case SecondOfferRequest():
            return OperatorAction("second_offer", paddle=wanted.paddle)
        case VoidRequest():
            return OperatorAction("void", bidder=wanted.bidder, paddle=wanted.paddle)
        case EditRequest(reserve=str(text)):
            reserve = read_reserve(text, terms.buy_now, terms.currency)
            return OperatorAction("edit", closes_at=wanted.closes_at, title=wanted.title, reserve=reserve)
        case EditRequest(reserve=None):
            return OperatorAction("edit", closes_at=wanted.closes_at, title=wanted.title, reserve=None)
        case EditRequest():
            return OperatorAction("edit", closes_at=wanted.closes_at, title=wanted.title)
        case _:
            return OperatorAction(kind)


def new_auction(request: CreateRequest, guid: str, default_currency: str, *, was_accepted: bool = False) -> NewAuction:
    """The checked terms of a new auction. Raises: `AmountError` with a sentence when they contradict each other.

    `was_accepted`: the request passed this check before, perhaps in an earlier release; its currency still holds.
    """
    currency = request.currency or default_currency
    if not was_accepted:
        check_current(currency)
    start_price = positive_amount("start_price", request.start_price, currency)
    if request.opens_at is not None and request.closes_at <= request.opens_at:
        raise AmountError(f"closes_at {request.closes_at} is not after opens_at {request.opens_at}")
    if request.hard_close_at is not None and request.hard_close_at < request.closes_at:
        raise AmountError(f"hard_close_at {request.hard_close_at} is before closes_at {request.closes_at}")
    buy_now = None if request.buy_now is None else positive_amount("buy_now.price", request.buy_now.price, currency)
    if buy_now is not None and buy_now < start_price:
        raise AmountError(f"buy_now.price {format_amount(buy_now, currency)} is below the start price")
    return NewAuction(
        guid=guid,
        title=request.title,
        currency=currency,
        start_price=start_price,
        increments=_increments(request.increments, currency),
        opens_at=request.opens_at,
        closes_at=request.closes_at,
        seller=request.seller,
        bidding=request.bidding,
        aligned=request.aligned,
        reserve=None if request.reserve is None else read_reserve(request.reserve, buy_now, currency),
        buy_now=buy_now,
        buy_now_mode=request.buy_now.mode if request.buy_now else "until_first_bid",
        soft_close=_soft_close(request.soft_close),
        hard_close_at=request.hard_close_at,
        max_extensions=request.max_extensions,
        priority=tuple(dict.fromkeys(request.priority)),
    )


def _soft_close(given: str | SoftCloseSeconds | None) -> SoftClose | None:
    if isinstance(given, SoftCloseSeconds):
        return SoftClose(given.window_s * 1000, given.extend_s * 1000)
    return None if given is None else SOFT_CLOSE_PRESETS.get(given, DEFAULT_SOFT_CLOSE)


def _increments(given: str | Sequence[BandRequest], currency: str) -> Increments:
    if isinstance(given, str):
        return Increments.from_preset(given, currency)
    return Increments.from_table([(band.start, band.step) for band in given], currency)


def decode(body: bytes, shape: type[_T]) -> _T:
    """A request's JSON body as `shape`. Raises: `msgspec.DecodeError` or `ValidationError`, which name the error."""
    return msgspec.json.decode(body, type=shape)
