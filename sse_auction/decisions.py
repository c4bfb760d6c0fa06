"""What comes of a bid, an act or a new auction: values, not exceptions, for a low bid is no error."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sse_auction.auction import State, Terms

Refusal: TypeAlias = Literal[
    # of a bid
    "unknown", "plain", "not_open", "paused", "own_auction", "voided", "no_maxima", "not_for_sale", "lowering",
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
class Done:
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
