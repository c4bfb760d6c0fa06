"""An auction as everybody may see it at a moment, and the record from which that follows."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from typing import Literal

from sse_auction.auction.money import MAX_MINOR_UNITS, format_amount, parse_amount
from sse_auction.auction.terms import Terms

Status = Literal["unknown", "upcoming", "open", "closed", "cancelled"]
Outcome = Literal["sold", "reserve_not_met", "no_bids", "bought_now", "cancelled"]

CONFIRM_FACTOR = 100  # the next bid: a higher one must be confirmed, by bid.lua


@dataclass(slots=True)  # not frozen, though nobody changes one: that would double what each costs
class State:
    """The one shape that polls, streams and bids carry. Prices are decimal strings, times epoch ms or None.

    `next_bids` are up to three bids, ascending, which the rules take as they are; they begin with `next_bid`, and end
    before what would need a word more: an amount that must be confirmed, or one at which it is bought.
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
        """Within which revisions can be compared."""
        return self.tag.partition("-")[0]

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow: the stream of such an auction ends."""
        return self.status in ("closed", "cancelled")

    @property
    def changes_at(self) -> int | None:
        """When time alone will change the status, or None."""
        if self.status == "upcoming":
            return self.opens_at
        return self.closes_at if self.status == "open" and not self.paused else None

    def stamp(self, now: int) -> int:
        """`now` (epoch ms) as far as the state is true: not before it was read, nor when time alone has changed it."""
        changes_at = self.changes_at
        return max(self.now, now if changes_at is None else min(now, changes_at - 1))


@dataclass(slots=True)  # as above
class Record:
    """One auction's keys as read from the store, in one shape for recorded and plain auctions.

    `price` is the price key as a decimal string, None where there is none. `invalid_value` is the value of a key that
    holds no price (or the store's complaint about its type): then `price` means nothing. `read_at` is the store's
    clock at that moment, 0 where it was not asked.
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
    outcome: Outcome | None = None  # as recorded: of an auction that was settled, cancelled or bought
    paused: bool = False
    seq: int = 0  # of the last bid, void or not
    read_at: int = 0
    unpaid: bool = False  # for operators alone

    @property
    def exists(self) -> bool:
        return self.invalid_value is None and (self.terms is not None or self.price is not None)

    def state(self, now: int, generation: str, external_currency: str) -> State:
        """The state at `now` (the store's clock).

        `generation` names the store's unbroken memory: it changes when the store lost data. The `epoch` in the tag
        also changes when an auction is created anew under an old guid, so that its revisions may start over.
        """
        if self.terms is None or self.invalid_value is not None:
            return self._external_state(now, generation, external_currency)
        terms = self.terms
        # What has an outcome is over, and what has had a bid has opened, though the store's clock was set back since.
        is_over = self.outcome is not None or (now >= terms.closes_at and not self.paused)
        phase = (is_over or now >= terms.opens_at or self.seq > 0) + is_over
        status: Status = ("upcoming", "open", "closed")[phase]
        if self.outcome == "cancelled":
            status = "cancelled"
        rev = self.rev + phase  # opening and closing are public changes too, though nothing is written for them
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
        """What came of an auction that is over; the same before and after it is settled."""
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
    """At what price it can be bought now, in an auction that has a buy-now price."""
    if terms.buy_now is None or (price is not None and terms.buy_now_mode == "until_first_bid"):
        return None
    return format_amount(terms.buy_now, terms.currency)


def _next_bids(terms: Terms, price: int | None) -> tuple[str | None, tuple[str, ...]]:
    """The least bid, and the bids to offer: as bid.lua takes them."""
    step_at = terms.increments.step
    least = terms.start_price if price is None else price + step_at(price)
    if least > MAX_MINOR_UNITS:
        return None, ()
    if terms.aligned:  # whole steps, all of the size that holds at the price
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
