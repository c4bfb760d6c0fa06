"""Requests of bidders and operators, and their results: values, not exceptions, because a low bid is no error."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sse_auction.auction.state import State
from sse_auction.auction.terms import Terms


@dataclass(frozen=True, slots=True)
class BidAmount:
    """A bid's amount in minor units: a price or a secret maximum; None to buy at the buy-now price."""

    kind: Literal["price", "max", "buy_now"]
    amount: int | None = None


ActionKind: TypeAlias = Literal[
    "cancel", "close", "extend", "pause", "resume", "edit",  # before the hammer
    "void",  # before and after it
    "reopen", "second_offer", "unpaid", "paid", "archive", "unarchive",  # after it
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """An operator's act on an auction, with the values that it changes. Times in epoch ms, amounts in minor units.

    `reserve` None removes it, "keep" leaves it. A void names the bidder by id or by paddle. A second offer names a
    paddle; None means the best underbidder.
    """

    kind: ActionKind
    closes_at: int | None = None
    title: str | None = None
    reserve: int | Literal["keep"] | None = "keep"
    bidder: str | None = None
    paddle: int | None = None


Refusal: TypeAlias = Literal[
    # of a bid
    "unknown", "external", "not_open", "paused", "own_auction", "voided", "no_maxima", "not_for_sale", "lowering",
    "too_low", "too_high", "not_aligned", "already_leading", "key_reused",
    # of an operator's act
    "already_paused", "not_paused", "not_later", "reserve_raised", "no_such_bidder",
    "not_closed", "too_late", "not_sold", "unchanged", "no_underbidder", "below_reserve",
]  # fmt: skip
Standing: TypeAlias = Literal["leading", "outbid", "winning"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted bid; `replayed` when this repeats the first answer to the same request."""

    seq: int
    paddle: int
    standing: Standing
    state: State
    replayed: bool


@dataclass(frozen=True, slots=True)
class ActionDone:
    """An operator's act that was executed."""

    terms: Terms
    state: State
    unpaid: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A bid or an act that changed nothing, and the state that is the reason (None when there is no auction).

    `why` is the operator's reason for a void; only that bidder may see it.
    """

    reason: Refusal
    state: State | None = None
    replayed: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new auction; `replayed` when this repeats the first answer to the same request."""

    terms: Terms
    state: State
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class NotCreated:
    """An auction that was not created: its guid exists or is held, its closing is past, or the key was used before."""

    reason: Literal["exists", "held", "past", "key_reused"]
    now: int = 0
