"""The rules of bidding as docs/rules.md states them, in plain Python; written from that page, not from the program.

Amounts are integers in minor units and times are epoch milliseconds. `Model.decide` says what becomes of a command at a
moment and changes nothing; `Decision.apply` is what an accepted one does. `Model.state` is what is public then.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Command = dict[str, Any]
Increments = list[tuple[int, int]] | None  # bands of (from, step); None is ten percent of the price

CONFIRM_FACTOR = 100
LARGEST = 2**53 - 1  # minor units


@dataclass
class Terms:
    start: int
    increments: Increments
    opens_at: int
    closes_at: int
    title: str
    bidding: str = "manual"
    aligned: bool = False
    reserve: int | None = None
    buy_now: tuple[int, str] | None = None
    soft_close: tuple[int, int] | None = None  # window and extension, in ms
    hard_close_at: int | None = None
    max_extensions: int | None = None
    seller: str | None = None
    priority: frozenset[str] = frozenset()

    def step(self, price: int) -> int:
        if self.increments is None:
            return -(-price // 10)
        return [step for start, step in self.increments if start <= price][-1]


@dataclass
class Bid:
    """A commitment of a bidder: a bid, a purchase, or a private raise of a leading maximum (which has no `seq`)."""

    bidder: str
    amount: int
    at: int
    seq: int | None
    price: int = 0  # its price in the history
    bought: bool = False
    undone: bool = False
    answered_by: tuple[str, int] | None = None  # the maximum that outbid it at once, and the price that this made


@dataclass
class Count:
    """Price and leader after some bids in their order."""

    price: int | None = None
    leader: str | None = None
    most: int = 0  # the leader's maximum

    def take(self, bidder: str, amount: int, terms: Terms, reserve: int | None) -> None:
        if terms.bidding == "manual":
            self.price, self.leader, self.most = amount, bidder, amount
            return
        if self.leader is None or self.price is None:
            self.price, self.leader, self.most = terms.start, bidder, amount
        elif bidder == self.leader:
            self.most = max(self.most, amount)
        else:
            wins_tie = bidder in terms.priority and self.leader not in terms.priority
            rival = amount
            if amount > self.most or (amount == self.most and wins_tie):
                rival, self.leader, self.most = self.most, bidder, amount
            self.price = max(self.price, min(rival + terms.step(rival), self.most))
        self.meet(reserve)

    def meet(self, reserve: int | None) -> None:
        if reserve is not None and self.price is not None and self.most >= reserve:
            self.price = max(self.price, reserve)


@dataclass
class Decision:
    status: int
    code: str | None = None
    apply: Callable[[], None] = lambda: None
    standing: Callable[[], tuple[int, str]] | None = None  # seq and standing, of an accepted bid


def refused(code: str) -> Decision:
    statuses = {"forbidden": 403, "voided": 403, "invalid": 422, "unauthorized": 401, "unknown_auction": 404}
    return Decision(statuses.get(code, 409), code)


@dataclass
class Model:
    terms: Terms
    said: list[Bid] = field(default_factory=list)
    count: Count = field(default_factory=Count)
    paddles: dict[str, int] = field(default_factory=dict)
    voided: dict[str, str] = field(default_factory=dict)
    closes_at: int = 0
    extensions: int = 0
    paused_at: int | None = None
    cancelled: bool = False
    revision: int = 0  # without the steps of opening and closing, which time makes
    offered: list[str] = field(default_factory=list)  # the buyers before, since the first second offer
    hammer: int = 0
    unpaid: bool = False
    archived: bool = False

    def __post_init__(self) -> None:
        self.closes_at = self.terms.closes_at

    # --- what is seen ------------------------------------------------------------------------------------------

    def over(self, now: int) -> bool:
        return self.cancelled or (self.paused_at is None and now >= self.closes_at)

    def status(self, now: int) -> str:
        if self.over(now):
            return "cancelled" if self.cancelled else "closed"
        return "open" if now >= self.terms.opens_at else "upcoming"

    def stands(self, bid: Bid) -> bool:
        return bid.bidder not in self.voided and not bid.undone

    def number_of_bids(self) -> int:
        return sum(1 for bid in self.said if bid.seq is not None and self.stands(bid))

    def purchase(self) -> Bid | None:
        return next((bid for bid in self.said if bid.bought and self.stands(bid)), None)

    def next_bid(self) -> int:
        price = self.count.price
        return self.terms.start if price is None else price + self.terms.step(price)

    def ceiling(self) -> int | None:
        return self.terms.buy_now[0] if self.terms.buy_now and self.terms.buy_now[1] == "ceiling" else None

    def buyable(self, now: int) -> int | None:
        if self.terms.buy_now is None or self.over(now):
            return None
        price, mode = self.terms.buy_now
        return price if mode == "ceiling" or self.number_of_bids() == 0 else None

    def next_bids(self) -> list[int]:
        first, terms, ceiling = self.next_bid(), self.terms, self.ceiling()
        amounts, fixed = [first], terms.step(self.base())
        for _ in range(2):
            amounts.append(amounts[-1] + (fixed if terms.aligned else terms.step(amounts[-1])))
        return [each for each in amounts if each <= CONFIRM_FACTOR * first and (ceiling is None or each < ceiling)]

    def base(self) -> int:
        return self.terms.start if self.count.price is None else self.count.price

    def reserve_met(self) -> bool | None:
        if self.terms.reserve is None:
            return None
        return self.count.price is not None and self.count.price >= self.terms.reserve

    def outcome(self, now: int) -> str | None:
        if not self.over(now):
            return None
        if self.cancelled:
            return "cancelled"
        if self.count.leader is None:
            return "no_bids"
        if self.purchase() is not None and not self.offered:
            return "bought_now"
        return "reserve_not_met" if self.reserve_met() is False else "sold"

    def rev(self, now: int) -> int:
        return self.revision + {"upcoming": 0, "open": 1}.get(self.status(now), 2)

    def state(self, now: int) -> dict[str, Any]:
        over = self.over(now)
        return {
            "title": self.terms.title,
            "price": self.count.price,
            "status": self.status(now),
            "bids": self.number_of_bids(),
            "leader": self.paddles[self.count.leader] if self.count.leader else None,
            "next_bid": None if over else self.next_bid(),
            "next_bids": [] if over else self.next_bids(),
            "opens_at": self.terms.opens_at,
            "closes_at": self.closes_at,
            "extensions": self.extensions,
            "reserve_met": self.reserve_met(),
            "outcome": self.outcome(now),
            "paused": self.paused_at is not None,
            "buy_now": self.buyable(now),
            "rev": self.rev(now),
        }

    def seen_terms(self) -> dict[str, Any]:
        return {
            "title": self.terms.title,
            "opens_at": self.terms.opens_at,
            "closes_at": self.closes_at,
            "original_closes_at": self.terms.closes_at,
            "hard_close_at": self.terms.hard_close_at,
            "archived": self.archived,
        }

    def history(self) -> list[dict[str, Any]]:
        entries = []
        for bid in self.said:
            if bid.seq is None:
                continue
            seen = {"seq": bid.seq, "at": bid.at}
            void = not self.stands(bid)
            own = {"paddle": self.paddles[bid.bidder], "price": bid.price, "automatic": False, "voided": void}
            entries.append(seen | own)
            if bid.answered_by:
                who, price = bid.answered_by
                void = void or who in self.voided
                entries.append(seen | {"paddle": self.paddles[who], "price": price, "automatic": True, "voided": void})
        return entries

    def standing(self, bidder: str, now: int) -> str | None:
        """The standing of a bidder of this auction."""
        if bidder not in self.paddles:
            return None
        if bidder in self.voided:
            return "voided"
        leads = self.count.leader == bidder
        if self.over(now):
            return "winning" if leads and self.outcome(now) in ("sold", "bought_now") else "lost"
        return "leading" if leads else "outbid"

    # --- what is decided ---------------------------------------------------------------------------------------

    def decide(self, command: Command, now: int) -> Decision:
        kind = command["do"]
        if max(command.get(name) or 0 for name in ("price", "max", "reserve")) > LARGEST:
            return refused("invalid")
        if kind == "bid":
            return self.decide_bid(command, now)
        if kind == "edit" and self.terms.buy_now and (command.get("reserve") or 0) > self.terms.buy_now[0]:
            return refused("invalid")
        decide: Callable[[Command, int], Decision] = getattr(self, "decide_" + kind.replace("-", "_"))
        if kind != "void":
            after = kind in ("reopen", "second-offer", "unpaid", "paid", "archive", "unarchive")
            if after and not self.over(now):
                return refused("not_closed")
            if not after and self.over(now):
                return refused("not_open")
        return decide(command, now)

    def decide_bid(self, command: Command, now: int) -> Decision:
        who, terms = command["who"], self.terms
        if self.status(now) != "open" or self.paused_at is not None:
            return refused("not_open")
        if who == terms.seller:
            return refused("forbidden")
        if who in self.voided:
            return refused("voided")
        if command.get("buy_now"):
            price = self.buyable(now)
            return refused("not_open") if price is None else self.buys(who, price, now)
        if "max" in command and terms.bidding == "manual":
            return refused("invalid")
        amount: int = command["max"] if "max" in command else command["price"]
        ceiling = self.ceiling()
        if ceiling is not None and amount >= ceiling:
            return self.buys(who, ceiling, now)
        raises = terms.bidding == "proxy" and self.count.leader == who
        if amount <= self.count.most if raises else amount < self.next_bid():
            return refused("too_low")
        if amount > CONFIRM_FACTOR * self.next_bid() and not command.get("confirm"):
            return refused("too_high")
        if terms.aligned and (amount - self.base()) % terms.step(self.base()):
            return refused("not_aligned")
        if self.count.leader == who and not raises:
            return refused("already_leading")
        return Decision(201, apply=lambda: self.bid(who, amount, now), standing=lambda: self.stood(who))

    def buys(self, who: str, price: int, now: int) -> Decision:
        return Decision(201, apply=lambda: self.buy(who, price, now), standing=lambda: (self.last_seq(), "winning"))

    def stood(self, who: str) -> tuple[int, str]:
        if self.count.leader == who:
            return max(bid.seq for bid in self.said if bid.bidder == who and bid.seq and self.stands(bid)), "leading"
        return self.last_seq(), "outbid"

    def last_seq(self) -> int:
        return max((bid.seq for bid in self.said if bid.seq), default=0)

    def bid(self, who: str, amount: int, now: int) -> None:
        before = (self.count.price, self.count.leader)
        self.count.take(who, amount, self.terms, self.terms.reserve)
        if (self.count.price, self.count.leader) == before:
            if who == self.count.leader:
                self.said.append(Bid(who, amount, now, None))
                return
        else:
            self.soften(now)
        assert self.count.price is not None
        bid = Bid(who, amount, now, self.last_seq() + 1, self.count.price)
        if self.count.leader != who:
            assert self.count.leader is not None
            bid.price, bid.answered_by = amount, (self.count.leader, self.count.price)
        self.enter(bid)

    def enter(self, bid: Bid) -> None:
        self.paddles.setdefault(bid.bidder, len(self.paddles) + 1)
        self.said.append(bid)
        self.revision += 1

    def soften(self, now: int) -> None:
        terms = self.terms
        if terms.soft_close is None or now < self.closes_at - terms.soft_close[0]:
            return
        if terms.max_extensions is not None and self.extensions >= terms.max_extensions:
            return
        later = now + terms.soft_close[1]
        if terms.hard_close_at is not None:
            later = min(later, terms.hard_close_at)
        if later > self.closes_at:
            self.closes_at = later
            self.extensions += 1

    def buy(self, who: str, price: int, now: int) -> None:
        self.count = Count(price, who, price)
        self.enter(Bid(who, price, now, self.last_seq() + 1, price, bought=True))
        self.closes_at = now

    # --- operators ---------------------------------------------------------------------------------------------

    def act(self, change: Callable[[], None] = lambda: None) -> Decision:
        """An accepted act that is public."""

        def apply() -> None:
            change()
            self.revision += 1

        return Decision(200, apply=apply)

    def set(self, **values: Any) -> Callable[[], None]:
        def change() -> None:
            for name, value in values.items():
                setattr(self, name, value)

        return change

    def decide_cancel(self, command: Command, now: int) -> Decision:
        return self.act(lambda: self.end(now, cancelled=True))

    def decide_close(self, command: Command, now: int) -> Decision:
        return self.act(lambda: self.end(now, cancelled=False))

    def end(self, now: int, cancelled: bool) -> None:
        self.closes_at, self.paused_at, self.cancelled = now, None, cancelled
        self.terms.opens_at = min(self.terms.opens_at, now)

    def decide_extend(self, command: Command, now: int) -> Decision:
        moment = command["closes_at"]
        return self.act(lambda: self.move(moment)) if moment > max(self.closes_at, now) else refused("invalid")

    def move(self, closes_at: int) -> None:
        self.closes_at = closes_at
        if self.terms.hard_close_at is not None:
            self.terms.hard_close_at = max(self.terms.hard_close_at, closes_at)

    def decide_pause(self, command: Command, now: int) -> Decision:
        return self.act(self.set(paused_at=now)) if self.paused_at is None else refused("not_open")

    def decide_resume(self, command: Command, now: int) -> Decision:
        return refused("not_open") if self.paused_at is None else self.act(lambda: self.resume(now))

    def resume(self, now: int) -> None:
        assert self.paused_at is not None
        lost = max(0, now - max(self.paused_at, self.terms.opens_at))
        self.closes_at += lost
        if self.terms.hard_close_at is not None:
            self.terms.hard_close_at += lost
        self.paused_at = None

    def decide_edit(self, command: Command, now: int) -> Decision:
        if "closes_at" in command and command["closes_at"] <= max(self.closes_at, now):
            return refused("invalid")
        if "reserve" in command and command["reserve"] is not None:
            reserve, held = command["reserve"], self.terms.reserve
            if self.number_of_bids() and (held is None or reserve > held):
                return refused("invalid")
        return self.act(lambda: self.edit(command))

    def edit(self, command: Command) -> None:
        self.terms.title = command.get("title", self.terms.title)
        if "closes_at" in command:
            self.move(command["closes_at"])
        if "reserve" in command:
            self.terms.reserve = command["reserve"]
            if self.terms.bidding == "proxy":
                self.count.meet(self.terms.reserve)

    def named(self, command: Command) -> str | None:
        """The bidder that a command names by id or by paddle."""
        if "bidder" in command:
            return command["bidder"] if command["bidder"] in self.paddles else None
        return next((who for who, paddle in self.paddles.items() if paddle == command["paddle"]), None)

    def decide_void(self, command: Command, now: int) -> Decision:
        who = self.named(command)
        if who is None or who in self.voided:
            return refused("invalid")
        return self.act(lambda: self.void(who, command["reason"]))

    def void(self, who: str, reason: str) -> None:
        self.voided[who] = reason
        leader = self.count.leader
        if not self.offered or who == leader:
            self.recount()
        if self.count.leader != leader:
            self.unpaid = False

    def recount(self) -> None:
        self.offered = []
        self.count = Count()
        for bid in self.said:
            if self.stands(bid):
                if bid.bought:
                    self.count = Count(bid.price, bid.bidder, bid.price)
                else:
                    self.count.take(bid.bidder, bid.amount, self.terms, self.terms.reserve)

    # --- after the hammer ----------------------------------------------------------------------------------------

    def decide_reopen(self, command: Command, now: int) -> Decision:
        moment = command["closes_at"]
        return self.reopens(moment, now) if moment > max(self.closes_at, now) else refused("invalid")

    def reopens(self, closes_at: int, now: int) -> Decision:
        return Decision(200, apply=lambda: self.reopen(closes_at, now))

    def reopen(self, closes_at: int, now: int) -> None:
        self.revision = self.rev(now)  # an open auction's revision is one above this
        bought = self.purchase()
        if bought is not None:
            bought.undone = True
        if bought is not None or self.offered:
            self.recount()
        self.closes_at, self.extensions, self.cancelled = closes_at, 0, False
        self.terms.opens_at = min(self.terms.opens_at, now)
        if self.terms.hard_close_at is not None:
            self.terms.hard_close_at = max(self.terms.hard_close_at, closes_at)
        self.unpaid = self.archived = False

    def sold(self, now: int) -> bool:
        return self.outcome(now) in ("sold", "bought_now")

    def commitment(self, who: str, purchases: bool) -> Bid | None:
        """This bidder's highest bid, and the first of equal ones."""
        own = [bid for bid in self.said if bid.bidder == who and self.stands(bid) and (purchases or not bid.bought)]
        return max(own, key=lambda bid: bid.amount, default=None)

    def decide_second_offer(self, command: Command, now: int) -> Decision:
        if not self.sold(now):
            return refused("not_sold")
        offer = self.offer_to(command)
        if offer is None:
            return refused("no_underbidder")
        if self.terms.reserve is not None and offer.amount < self.terms.reserve:
            return refused("below_reserve")
        return self.act(lambda: self.offer(offer))

    def offer_to(self, command: Command) -> Bid | None:
        if "paddle" in command:
            who = self.named(command)
            return None if who is None or who == self.count.leader else self.commitment(who, purchases=True)
        others: Iterable[str] = self.paddles.keys() - {*self.offered, self.count.leader}
        bids = [bid for who in others if (bid := self.commitment(who, purchases=False)) is not None]
        return min(
            bids,
            key=lambda bid: (-bid.amount, bid.bidder not in self.terms.priority, self.said.index(bid)),
            default=None,
        )

    def offer(self, bid: Bid) -> None:
        assert self.count.price is not None
        assert self.count.leader is not None
        if not self.offered:
            self.hammer = self.count.price
        self.offered.append(self.count.leader)
        price = min(bid.amount, self.hammer)
        self.count = Count(price, bid.bidder, price)
        self.unpaid = False

    def decide_unpaid(self, command: Command, now: int) -> Decision:
        return self.note(now, unpaid=True)

    def decide_paid(self, command: Command, now: int) -> Decision:
        return self.note(now, unpaid=False)

    def note(self, now: int, unpaid: bool) -> Decision:
        if not self.sold(now):
            return refused("not_sold")
        return refused("unchanged") if self.unpaid == unpaid else Decision(200, apply=self.set(unpaid=unpaid))

    def decide_archive(self, command: Command, now: int) -> Decision:
        return refused("unchanged") if self.archived else Decision(200, apply=self.set(archived=True))

    def decide_unarchive(self, command: Command, now: int) -> Decision:
        return Decision(200, apply=self.set(archived=False)) if self.archived else refused("unchanged")
