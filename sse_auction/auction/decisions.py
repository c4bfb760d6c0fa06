"""What bidders and operators ask for, and what comes of it: values, not exceptions, for a low bid is no error."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sse_auction.auction.state import State
from sse_auction.auction.terms import Terms


@dataclass(frozen=True, slots=True)
class BidAmount:
    """What a bidder offers, in minor units: a price, a secret maximum, or to buy at the buy-now price (no amount)."""

    kind: Literal["price", "max", "buy_now"]
    amount: int | None = None


ActionKind: TypeAlias = Literal[
    "cancel", "close", "extend", "pause", "resume", "edit",  # before the hammer
    "void",  # before and after it
    "reopen", "second_offer", "unpaid", "paid", "archive", "unarchive",  # after it
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What an operator does to an auction; of the rest only what he changes. Times in epoch ms, amounts in minor units.

    `reserve` None removes it, "keep" leaves it. Who is voided is named by his id or by his paddle; to whom a second
    offer is made by his paddle, None means the best underbidder.
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
    """A bid that counted; `replayed` when this is the first answer given again."""

    seq: int
    paddle: int
    standing: Standing
    state: State
    replayed: bool


@dataclass(frozen=True, slots=True)
class ActionDone:
    """An operator's act that was carried out."""

    terms: Terms
    state: State
    unpaid: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A bid or an act that changed nothing, and the state that made it so (None where no auction is).

    `why` is an operator's word for it, where he was asked for one: to be told to that bidder alone.
    """

    reason: Refusal
    state: State | None = None
    replayed: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new auction; `replayed` when this is the first answer given again."""

    terms: Terms
    state: State
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class NotCreated:
    """An auction that was not recorded: its guid is taken or held, its closing is past, or its key was another's."""

    reason: Literal["exists", "held", "past", "key_reused"]
    now: int = 0
