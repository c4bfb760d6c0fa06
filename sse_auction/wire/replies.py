"""The JSON of replies, which clients read."""

from typing import Annotated, Any, Literal

import msgspec

from sse_auction.auction.history import HistoryEntry
from sse_auction.auction.money import format_amount
from sse_auction.auction.state import State
from sse_auction.auction.terms import Bidding, BuyNowMode, Terms

encode = msgspec.json.encode


def to_builtins(value: Any) -> Any:
    """Convert any reply to plain dicts and lists."""
    return msgspec.to_builtins(value)


class Band(msgspec.Struct):
    """One band of an increment table, as decimal strings."""

    start: Annotated[str, msgspec.Meta(description="the price from which this step holds")] = msgspec.field(name="from")
    step: str


class BuyNow(msgspec.Struct):
    """The price at which the lot can be bought: until the first bid, or by any bid at or above it."""

    price: str
    mode: BuyNowMode


class SoftCloseSeconds(msgspec.Struct, forbid_unknown_fields=True):
    """A bid within the last `window_s` seconds moves the closing to `extend_s` after it."""

    window_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]
    extend_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)]


class TermsReply(msgspec.Struct):
    """The terms of a managed auction."""

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
    """One auction: its terms (null for an external auction, which has none) and its state.

    `unpaid` is only for operators: whether the winner is marked as not having paid.
    """

    terms: TermsReply | None
    state: State
    unpaid: bool | msgspec.UnsetType = msgspec.UNSET


class AuctionsReply(msgspec.Struct):
    """One page of auctions. `next` is the cursor of the next page, or null; `before` of the `total` come before it."""

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


class HistoryReply(msgspec.Struct):
    """One page of the bid history, only whole bids. `next` is the `after` of the next page, or null."""

    bids: list[HistoryEntry]
    next: int | None


class GuestReply(msgspec.Struct):
    """A guest of the demo, with a token for bidding."""

    token: str
    bidder: str
    name: str


class ErasedReply(msgspec.Struct):
    """The result of an erasure: how many auctions it changed, and those that still must end before it can."""

    auctions: int
    still_open: list[str]


class RefreshReply(msgspec.Struct):
    """An accepted refresh; the push follows."""

    guid: str
    refreshing: bool


class StandingEvent(msgspec.Struct):
    """A bidder's standing in an auction; `reason` is the operator's reason for a void, if stored. `now` is epoch ms."""

    guid: str
    standing: Literal["leading", "outbid", "winning", "lost", "voided"]
    paddle: int
    price: str | None
    next_bid: str | None
    rev: int
    now: int
    reason: str | None = None


class StandingsReply(msgspec.Struct):
    """The bearer's standings, in the requested auctions in which the bearer has bid."""

    standings: list[StandingEvent]


class ProblemReply(msgspec.Struct, omit_defaults=True):
    """A problem document (RFC 9457), with the fields that a client needs to act."""

    status: int
    title: str
    detail: str
    code: str
    type: str = "about:blank"
    next_bid: str | None = None
    state: State | None = None
    retry_after: int | None = None
    reason: str | None = None
