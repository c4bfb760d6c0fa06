"""How states, events and problems look on the wire: JSON, and Server-Sent Events.

Rule: every SSE byte is made here, from JSON (which holds no raw CR, LF or NUL) and from tags (whose characters are
checked), so that no value can inject a field. A state is encoded once for all its viewers; only the clock at its
end differs from one delivery to the next.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from sse_auction.auction.decisions import Offer
from sse_auction.auction.increments import Increments
from sse_auction.auction.money import AmountError, check_current, format_amount, parse_amount
from sse_auction.auction.state import State
from sse_auction.auction.terms import SOFT_CLOSE_PRESETS, USUAL_SOFT_CLOSE, Bidding, BuyNowMode, SoftClose, Terms
from sse_auction.auction.version import Seen
from sse_auction.texts import LONGEST_BIDDER, LONGEST_REASON, LONGEST_TITLE, WrongText, check_text, check_title

encode = msgspec.json.encode
_T = TypeVar("_T")

# --- what is sent --------------------------------------------------------------------------------------------


class Update:
    """One state of one auction, encoded once, when first needed, for any number of viewers."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.guid = state.guid
        self.is_final = state.is_final
        self._event = b"event: closed\ndata: " if self.is_final else b"event: price\ndata: "

    @cached_property
    def seen(self) -> Seen:
        """What whoever is shown it has seen."""
        return Seen(self.state.epoch, self.state.rev, Decimal(self.state.price) if self.state.price else None)

    @cached_property
    def _json(self) -> bytes:
        return encode(replace(self.state, now=0))[:-2]  # all but `0}`: the clock is put in at each delivery

    def json(self, now: int) -> bytes:
        """The state as JSON, stamped `now` (epoch ms) as far as it is true then."""
        return b"%b%d}" % (self._json, self.state.stamp(now))

    @cached_property
    def _with_id(self) -> bytes:
        return b"id: %b\n%b%b" % (self.state.tag.encode(), self._event, self._json)

    def event(self, now: int) -> bytes:
        """The SSE event for a stream of this one auction; its id is the tag, so that a reconnect can resume."""
        return b"%b%d}\n\n" % (self._with_id, self.state.stamp(now))

    def event_among_many(self, now: int) -> bytes:
        """The SSE event for a stream of several auctions: no id, for one id cannot resume many."""
        return b"%b%b%d}\n\n" % (self._event, self._json, self.state.stamp(now))


def retry_field(least_ms: int, most_ms: int) -> bytes:
    """The SSE field that sets a viewer's pause before reconnecting; random, so that a crowd comes back spread out.

    It takes effect as a line; without an empty line after it, no client takes it for an event.
    """
    return b"retry: %d\n" % random.randint(least_ms, most_ms)


def heartbeat_event(now: int, live: bool) -> bytes:
    """The SSE event that says that the line works, what time it is, and whether the prices are live."""
    return b'event: hb\ndata: {"now":%d,"live":%b}\n\n' % (now, b"true" if live else b"false")


def busy_event(now: int, reason: str) -> bytes:
    """The SSE event of a stream that was turned away: come back later."""
    return b'event: busy\ndata: {"now":%d,"reason":%b}\n\n' % (now, encode(reason))


# --- shapes of replies -----------------------------------------------------------------------------------------


class Band(msgspec.Struct):
    """One band of an increment table, as decimal strings."""

    start: Annotated[str, msgspec.Meta(description="the price from which this step holds")] = msgspec.field(name="from")
    step: str


class BuyNow(msgspec.Struct):
    """The price at which it can be bought: until the first bid, or by any bid at or above it."""

    price: str
    mode: BuyNowMode


class SoftCloseSeconds(msgspec.Struct, forbid_unknown_fields=True):
    """A bid within the last `window_s` seconds moves the closing to `extend_s` after it."""

    window_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    extend_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class TermsReply(msgspec.Struct):
    """The terms of a recorded auction."""

    guid: str
    title: str
    currency: str
    start_price: str
    increments: list[Band] | Literal["ten-percent"]
    opens_at: int
    closes_at: int
    created_at: int
    original_closes_at: int
    bidding: Bidding
    aligned: bool
    buy_now: BuyNow | None
    soft_close: SoftCloseSeconds | None
    hard_close_at: int | None
    max_extensions: int | None
    archived: bool

    @classmethod
    def of(cls, terms: Terms) -> "TermsReply":
        currency, soft = terms.currency, terms.soft_close
        bands = [
            Band(format_amount(start, currency), format_amount(step, currency))
            for start, step in terms.increments.bands
        ]
        return cls(
            guid=terms.guid,
            title=terms.title,
            currency=currency,
            start_price=format_amount(terms.start_price, currency),
            increments=bands or "ten-percent",
            opens_at=terms.opens_at,
            closes_at=terms.closes_at,
            created_at=terms.created_at,
            original_closes_at=terms.original_closes_at,
            bidding=terms.bidding,
            aligned=terms.aligned,
            buy_now=None
            if terms.buy_now is None
            else BuyNow(format_amount(terms.buy_now, currency), terms.buy_now_mode),
            soft_close=SoftCloseSeconds(soft.window_ms // 1000, soft.extend_ms // 1000) if soft else None,
            hard_close_at=terms.hard_close_at,
            max_extensions=terms.max_extensions,
            archived=terms.archived,
        )


class AuctionReply(msgspec.Struct):
    """One auction: its terms (null for a plain auction, which has none) and its state.

    `unpaid` is for operators alone: whether it is noted that the winner has not paid.
    """

    terms: TermsReply | None
    state: State
    unpaid: bool | msgspec.UnsetType = msgspec.UNSET


class AuctionsReply(msgspec.Struct):
    """One page of auctions: the cursor of the page after it, or null; how many there are, and how many come before."""

    auctions: list[AuctionReply]
    next: str | None
    total: int
    before: int


class BidReply(msgspec.Struct):
    """An accepted bid, and the state that it made."""

    accepted: bool
    seq: int
    paddle: int
    standing: Literal["leading", "outbid", "winning"]
    state: State


class HistoryEntry(msgspec.Struct):
    """A bid, as everybody may see it: `price` is what this paddle is committed to by it, `at` is epoch ms.

    A bid that the leader's maximum answers at once has two entries of the same `seq`: the bid, at its own maximum, and
    the leader's automatic bid above it.
    """

    seq: int
    paddle: int
    price: str
    automatic: bool
    at: int
    voided: bool


class HistoryReply(msgspec.Struct):
    """One page of the bid history, whole bids only; `next` is the `after` of the page after it, or null."""

    bids: list[HistoryEntry]
    next: int | None


class GuestReply(msgspec.Struct):
    """A guest of the demo, with the token that lets him bid."""

    token: str
    bidder: str
    name: str


class ErasedReply(msgspec.Struct):
    """What an erasure has come to: how many auctions it changed, and those that must be over before they can be."""

    auctions: int
    still_open: list[str]


class RefreshReply(msgspec.Struct):
    """A refresh that was taken up; the push follows."""

    guid: str
    refreshing: bool


class StandingEvent(msgspec.Struct):
    """How a bidder stands in an auction; `reason` is why his bids were voided, where it was kept. `now` is epoch ms."""

    guid: str
    standing: Literal["leading", "outbid", "winning", "lost", "voided"]
    paddle: int
    price: str | None
    next_bid: str | None
    rev: int
    now: int
    reason: str | None = None


class StandingsReply(msgspec.Struct):
    """How the bearer stands in those of the auctions in which he has bid."""

    standings: list[StandingEvent]


class ProblemReply(msgspec.Struct, omit_defaults=True):
    """An error as RFC 9457 has it, with what the client needs to act."""

    status: int
    title: str
    detail: str
    code: str
    type: str = "about:blank"
    next_bid: str | None = None
    state: State | None = None
    retry_after: int | None = None
    reason: str | None = None


# --- shapes of requests ----------------------------------------------------------------------------------------
# What a person writes is checked when a request is made of it, by whatever way it came: `WrongText` says what is wrong.


def _text(most: int, description: str | None = None) -> msgspec.Meta:
    """The limits of a text, for the description of the routes; `check_text` holds them, with a better sentence."""
    return msgspec.Meta(description=description, extra_json_schema={"minLength": 1, "maxLength": most})


_EpochMs = Annotated[int, msgspec.Meta(ge=0, le=253402300799999, description="epoch milliseconds")]
_Title = Annotated[str, _text(LONGEST_TITLE)]
_Bidder = Annotated[str, _text(LONGEST_BIDDER, "a bidder's id")]
_Reason = Annotated[str, _text(LONGEST_REASON, "why, for the log")]
_Amount = Annotated[str, msgspec.Meta(max_length=40, description="decimal string in the auction's currency")]


class BidRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A bid: a price, in a proxy auction also a secret maximum, or to buy at the buy-now price.

    `confirm` is needed for an amount over a hundred times the next bid.
    """

    price: _Amount | None = None
    max: _Amount | None = None
    buy_now: bool = False
    confirm: bool = False

    def offer(self, currency: str) -> Offer:
        """What is offered; `AmountError` says what is wrong with it."""
        given = [name for name in ("price", "max", "buy_now") if getattr(self, name) not in (None, False)]
        if len(given) != 1:
            raise AmountError(f"a bid has one of price, max and buy_now; this one has {' and '.join(given) or 'none'}")
        if self.buy_now:
            return Offer("buy_now")
        try:
            if self.price is not None:
                return Offer("price", parse_amount(self.price, currency))
            return Offer("max", parse_amount(self.max or "", currency))
        except AmountError as error:
            raise AmountError(f"{given[0]} {error}") from None

    @property
    def shown(self) -> str:
        """The amount as it was written, for sentences."""
        return next((text for text in (self.price, self.max) if text is not None), "the buy-now price")


class ReasonRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Why an operator cancels, closes, pauses or resumes an auction."""

    reason: _Reason

    def __post_init__(self) -> None:
        check_text("reason", self.reason, LONGEST_REASON)


class ExtendRequest(ReasonRequest):
    """A later closing time."""

    closes_at: _EpochMs


class VoidRequest(ReasonRequest):
    """Whose bids are void: a bidder's id, or his paddle here."""

    bidder: _Bidder | None = None
    paddle: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.bidder is None) == (self.paddle is None):
            raise WrongText("exactly one of bidder and paddle says whose bids are void")
        if self.bidder is not None:
            check_text("bidder", self.bidder, LONGEST_BIDDER)


class EraseRequest(ReasonRequest):
    """Whose id is to be replaced by a pseudonym, in all auctions that are over."""

    bidder: _Bidder

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("bidder", self.bidder, LONGEST_BIDDER)
        if self.bidder in self.reason:
            raise WrongText("the reason names the bidder, and would be kept; say it in other words")


class ReopenRequest(ReasonRequest):
    """Until when an auction that is over takes bids again."""

    closes_at: _EpochMs


class SecondOfferRequest(ReasonRequest):
    """To whom the lot of a winner who does not take it goes; without a paddle, to the best underbidder."""

    paddle: Annotated[int, msgspec.Meta(ge=1)] | None = None


class EditRequest(ReasonRequest):
    """What may be changed of a recorded auction; `reserve` null removes it."""

    title: _Title | None = None
    closes_at: _EpochMs | None = None
    reserve: _Amount | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.title is None and self.closes_at is None and self.reserve is msgspec.UNSET:
            raise WrongText("nothing is to be changed; title, closes_at and reserve can be")
        if self.title is not None:
            check_title(self.title)


class BandRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One band of an increment table."""

    start: _Amount = msgspec.field(name="from")
    step: _Amount


class BuyNowRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The price at which it can be bought, and for how long that holds."""

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
            check_text("seller", self.seller, LONGEST_BIDDER)
        for bidder in self.priority:
            check_text("priority", bidder, LONGEST_BIDDER)


@dataclass(frozen=True, slots=True)
class NewAuction:
    """A checked `CreateRequest`: what the store is asked to record. Amounts in minor units, times in epoch ms."""

    guid: str
    title: str
    currency: str
    start_price: int
    increments: Increments
    opens_at: int | None  # None: at once
    closes_at: int
    seller: str | None
    bidding: Bidding
    aligned: bool
    reserve: int | None
    buy_now: int | None
    buy_now_mode: BuyNowMode
    soft_close: SoftClose | None
    hard_close_at: int | None
    max_extensions: int | None
    priority: tuple[str, ...]


def new_auction(request: CreateRequest, guid: str, default_currency: str, *, was_accepted: bool = False) -> NewAuction:
    """Check what types cannot say; `AmountError` with a sentence when the terms contradict themselves.

    `was_accepted`: the request passed this check before, perhaps in an earlier release, whose currencies still hold.
    """
    currency = request.currency or default_currency
    if not was_accepted:
        check_current(currency)
    start_price = _positive("start_price", request.start_price, currency)
    if request.opens_at is not None and request.closes_at <= request.opens_at:
        raise AmountError(f"closes_at {request.closes_at} is not after opens_at {request.opens_at}")
    if request.hard_close_at is not None and request.hard_close_at < request.closes_at:
        raise AmountError(f"hard_close_at {request.hard_close_at} is before closes_at {request.closes_at}")
    buy_now = None if request.buy_now is None else _positive("buy_now.price", request.buy_now.price, currency)
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


def read_reserve(text: str, buy_now: int | None, currency: str) -> int:
    """A reserve in minor units, of a new auction or of one that is changed; `AmountError` when it cannot be one."""
    reserve = _positive("reserve", text, currency)
    if buy_now is not None and reserve > buy_now:
        shown, limit = format_amount(reserve, currency), format_amount(buy_now, currency)
        raise AmountError(f"reserve {shown} is above the buy-now price, {limit}")
    return reserve


def _positive(name: str, text: str, currency: str) -> int:
    try:
        amount = parse_amount(text, currency)
    except AmountError as error:
        raise AmountError(f"{name} {error}") from None
    if amount == 0:
        raise AmountError(f"{name} must be above 0")
    return amount


def _soft_close(given: str | SoftCloseSeconds | None) -> SoftClose | None:
    if isinstance(given, SoftCloseSeconds):
        return SoftClose(given.window_s * 1000, given.extend_s * 1000)
    return None if given is None else SOFT_CLOSE_PRESETS.get(given, USUAL_SOFT_CLOSE)


def _increments(given: str | Sequence[BandRequest], currency: str) -> Increments:
    if isinstance(given, str):
        return Increments.from_preset(given, currency)
    return Increments.from_table([(band.start, band.step) for band in given], currency)


def decode(body: bytes, shape: type[_T]) -> _T:
    """A request's JSON body as `shape`; `msgspec.DecodeError` or `ValidationError` names what is wrong."""
    return msgspec.json.decode(body, type=shape)


def to_builtins(value: Any) -> Any:
    """Any reply as plain dicts and lists."""
    return msgspec.to_builtins(value)
