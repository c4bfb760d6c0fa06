"""The public state of an auction at one moment, and the record from which it is made."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from typing import Literal

from sse_auction.auction.money import MAX_MINOR_UNITS, format_amount, parse_amount
from sse_auction.auction.terms import Terms

Status = Literal["unknown", "upcoming", "open", "closed", "cancelled"]
Outcome = Literal["sold", "reserve_not_met", "no_bids", "bought_now", "cancelled"]

CONFIRM_FACTOR = 100  # times the next bid: bid.lua requires a confirmation for a higher amount


@dataclass(slots=True)  # never changed, but not frozen: that would double the cost of making one
class State:
    """The one shape that polls, streams and answers to bids carry. Prices are decimal strings, times epoch ms or None.

    `next_bids` are up to three amounts, ascending, that the rules accept now. They begin with `next_bid`, and stop
    below an amount that needs a confirmation or buys the lot.
    """

    guid: str
    title: str | None
    price: str | None
    currency: str
    status: Status
    bids: int | None
    leader: int | None
    next_bid: str | None
    next_bids: tuple[str, ...]
    opens_at: int | None
    closes_at: int | None
    extensions: int
    reserve_met: bool | None
    outcome: Outcome | None
    paused: bool
    buy_now: str | None
    rev: int
    tag: str
    now: int

    @property
    def epoch(self) -> str:
        """The epoch of the tag: revisions can be compared within one epoch."""
        return self.tag.partition("-")[0]

    @property
    def is_final(self) -> bool:
        """Whether no other state follows; the stream of such an auction ends."""
        return self.status in ("closed", "cancelled")

    @property
    def changes_at(self) -> int | None:
        """When the status next changes with time, in epoch ms; None when it does not."""
        if self.status == "upcoming":
            return self.opens_at
        return self.closes_at if self.status == "open" and not self.paused else None

    def stamp(self, now: int) -> int:
        """`now` (epoch ms), limited to the time in which this state is true: from its reading to its next change."""
        changes_at = self.changes_at
        return max(self.now, now if changes_at is None else min(now, changes_at - 1))


@dataclass(slots=True)  # as above
class Record:
    """One auction's keys as read from the store, in one shape for managed and external auctions.

    `price` is the price key as a decimal string, None when there is none. `invalid_value` is the value of a price key
    that holds no price (or the store's error about its type): then `price` has no meaning. `read_at` is the store's
    clock at the reading, 0 when it was not read.
    """

    guid: str
    terms: Terms | None
    price: str | None
    invalid_value: str | None = None
    rev: int = 0
    bids: int = 0
    leader: int | None = None
    extensions: int = 0
    reserve_met: bool | None = None
    outcome: Outcome | None = None  # as stored: when the auction was settled, cancelled or bought
    paused: bool = False
    seq: int = 0  # of the last bid, void or not
    read_at: int = 0
    unpaid: bool = False  # for operators alone

    @property
    def exists(self) -> bool:
        return self.invalid_value is None and (self.terms is not None or self.price is not None)

    def state(self, now: int, generation: str, external_currency: str) -> State:
        """The state at `now` (the store's clock, epoch ms).

        `generation` names the store's unbroken data: it changes when the store lost data. The `epoch` in the tag
        also changes when an auction is created again under an old guid, because its revisions start over.
        """
        if self.terms is None or self.invalid_value is not None:
            return self._external_state(now, generation, external_currency)
        terms = self.terms
        # An outcome means over, and a bid means opened, even if the store's clock was set back since.
        is_over = self.outcome is not None or (now >= terms.closes_at and not self.paused)
        phase = (is_over or now >= terms.opens_at or self.seq > 0) + is_over
        status: Status = ("upcoming", "open", "closed")[phase]
        if self.outcome == "cancelled":
            status = "cancelled"
        rev = self.rev + phase  # opening and closing are public changes too, but nothing is written for them
        price = None if self.price is None else parse_amount(self.price, terms.currency)
        next_bid, next_bids = (None, ()) if is_over else _next_bids(terms, price)
        return State(
            guid=self.guid,
            title=terms.title,
            price=self.price,
            currency=terms.currency,
            status=status,
            bids=self.bids,
            leader=self.leader,
            next_bid=next_bid,
            next_bids=next_bids,
            opens_at=terms.opens_at,
            closes_at=terms.closes_at,
            extensions=self.extensions,
            reserve_met=self.reserve_met,
            outcome=self._outcome() if is_over else None,
            paused=self.paused,
            buy_now=None if is_over or terms.buy_now is None else _buy_now(terms, price),
            rev=rev,
            tag=f"{_epoch(generation, terms.created_at)}-{rev}-{self.price or ''}",
            now=now,
        )

    def _outcome(self) -> Outcome:
        """The outcome of an auction that is over; the same before and after it is settled."""
        if self.outcome is not None:
            return self.outcome
        if self.leader is None:
            return "no_bids"
        return "reserve_not_met" if self.reserve_met is False else "sold"

    def _external_state(self, now: int, generation: str, currency: str) -> State:
        price = None if self.invalid_value is not None else self.price
        return State(
            guid=self.guid,
            title=None,
            price=price,
            currency=currency,
            status="unknown" if price is None else "open",
            bids=None,
            leader=None,
            next_bid=None,
            next_bids=(),
            opens_at=None,
            closes_at=None,
            extensions=0,
            reserve_met=None,
            outcome=None,
            paused=False,
            buy_now=None,
            rev=0,
            tag=f"{_epoch(generation, 0)}-0-{price or ''}",
            now=now,
        )


def _buy_now(terms: Terms, price: int | None) -> str | None:
    """The price at which the lot can be bought now; None when it cannot be."""
    if terms.buy_now is None or (price is not None and terms.buy_now_mode == "until_first_bid"):
        return None
    return format_amount(terms.buy_now, terms.currency)


def _next_bids(terms: Terms, price: int | None) -> tuple[str | None, tuple[str, ...]]:
    """The next bid, and the amounts to offer, as bid.lua accepts them."""
    step_at = terms.increments.step
    least = terms.start_price if price is None else price + step_at(price)
    if least > MAX_MINOR_UNITS:
        return None, ()
    if terms.aligned:  # whole steps, all of the size at the present price
        step = step_at(terms.start_price if price is None else price)
        ladder = (least, least + step, least + 2 * step)
    else:
        second = least + step_at(least)
        ladder = (least, second, second + step_at(second))
    most = min(MAX_MINOR_UNITS, least * CONFIRM_FACTOR)
    if terms.buy_now is not None and terms.buy_now_mode == "ceiling":
        most = min(most, terms.buy_now - 1)
    currency = terms.currency
    return format_amount(least, currency), tuple([format_amount(each, currency) for each in ladder if each <= most])


@lru_cache(maxsize=16_384)
def _epoch(generation: str, created_at: int) -> str:
    return blake2s(f"{generation}:{created_at}".encode(), digest_size=4).hexdigest()
