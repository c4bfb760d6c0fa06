"""A model of the bidding rules in plain Python, for tests to compare the scripts with.

It is written from the rules as auctioneers read them, and shares nothing with the scripts but the increments. Amounts
are minor units, moments epoch ms; the caller passes the time.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from sse_auction.auction.decisions import BidAmount, OperatorAction
from sse_auction.auction.increments import Increments
from sse_auction.auction.money import MAX_MINOR_UNITS, format_amount
from sse_auction.auction.terms import NewAuction

AFTER_THE_HAMMER = ("reopen", "second_offer", "unpaid", "paid", "archive", "unarchive")
REOPENS_MS = 24 * 3_600_000


@dataclass
class Contest:
    """Price, leader (a paddle) and that paddle's maximum; no price without a leader."""

    price: int | None = None
    leader: int | None = None
    max: int = 0


@dataclass
class Placed:
    """A bid in the log: bidder, paddle and maximum; raises are not bids to the public."""

    bidder: str
    paddle: int
    amount: int
    is_raise: bool
    seq: int
    is_purchase: bool = False


@dataclass
class Model:
    """One auction. `bid` and `act` return the verdict; `shown` is what is public."""

    terms: NewAuction
    opens_at: int
    closes_at: int
    hard_close_at: int | None = None
    title: str = ""
    reserve: int | None = None
    contest: Contest = field(default_factory=Contest)
    log: list[Placed] = field(default_factory=list)
    paddles: dict[str, int] = field(default_factory=dict)
    voided: set[int] = field(default_factory=set)
    bids: int = 0
    seq: int = 0
    rev: int = 0
    extensions: int = 0
    paused_at: int | None = None
    outcome: str | None = None
    passed: list[int] = field(default_factory=list)  # the winner that did not take it
    hammer_price: int | None = None  # before the first second offer
    unpaid: bool = False
    archived: bool = False

    @classmethod
    def of(cls, terms: NewAuction, opens_at: int) -> "Model":
        return cls(terms, opens_at, terms.closes_at, terms.hard_close_at, terms.title, terms.reserve)

    # --- what is shown -------------------------------------------------------------------------------------------

    @property
    def increments(self) -> Increments:
        return self.terms.increments

    def is_over(self, now: int) -> bool:
        return self.outcome in ("cancelled", "bought_now", "hammer") or (now >= self.closes_at and not self.is_paused)

    def is_opened(self, now: int) -> bool:
        return now >= self.opens_at or self.seq > 0 or self.outcome is not None

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def reserve_met(self) -> bool | None:
        return None if self.reserve is None else (self.contest.price or 0) >= self.reserve

    def next_bid(self) -> int:
        price = self.contest.price
        return self.terms.start_price if price is None else price + self.increments.step(price)

    def shown(self, now: int) -> dict[str, Any]:
        """The public state, without tag and clock."""
        over, price, currency = self.is_over(now), self.contest.price, self.terms.currency
        status = "open" if self.is_opened(now) else "upcoming"
        outcome = None
        if over:
            status = "cancelled" if self.outcome == "cancelled" else "closed"
            outcome = self.outcome if self.outcome in ("cancelled", "bought_now") else None
            if outcome is None:
                outcome = "no_bids" if price is None else "reserve_not_met" if self.reserve_met is False else "sold"
        sale = None if over else self.sale_price()
        return {
            "title": self.title, "price": None if price is None else format_amount(price, currency),
            "status": status, "bids": self.bids, "leader": self.contest.leader,
            "next_bid": None if over or self.next_bid() > MAX_MINOR_UNITS else format_amount(self.next_bid(), currency),
            "opens_at": self.opens_at, "closes_at": self.closes_at, "extensions": self.extensions,
            "reserve_met": self.reserve_met, "outcome": outcome, "paused": self.is_paused,
            "buy_now": None if sale is None else format_amount(sale, currency),
            "rev": self.rev + self.is_opened(now) + over,
        }  # fmt: skip

    def sale_price(self) -> int | None:
        """The buy-now price, if there is one now."""
        if self.terms.buy_now_mode == "until_first_bid" and self.contest.price is not None:
            return None
        return self.terms.buy_now

    # --- bids ----------------------------------------------------------------------------------------------------

    def bid(self, now: int, bidder: str, offer: BidAmount, *, confirmed: bool) -> str:
        """The verdict; of an accepted bid its standing."""
        paddle = self.paddles.get(bidder)
        if self.is_over(now) or not self.is_opened(now):
            return "not_open"
        if self.is_paused:
            return "paused"
        if bidder == self.terms.seller:
            return "own_auction"
        if paddle in self.voided:
            return "voided"
        proxy = self.terms.bidding == "proxy"
        if offer.kind == "max" and not proxy:
            return "no_maxima"
        sale = self.sale_price()
        if offer.kind == "buy_now":
            return "not_for_sale" if sale is None else self._buy(now, bidder, sale)
        amount = offer.amount or 0
        if sale is not None and self.terms.buy_now_mode == "ceiling" and amount >= sale:
            return self._buy(now, bidder, sale)
        leads = paddle is not None and paddle == self.contest.leader
        if leads and proxy and amount <= self.contest.max:
            return "lowering"
        if amount < self.next_bid() and not (leads and proxy):
            return "too_low"
        if amount > 100 * self.next_bid() and not confirmed:
            return "too_high"
        base = self.terms.start_price if self.contest.price is None else self.contest.price
        if self.terms.aligned and (amount - base) % self.increments.step(base):
            return "not_aligned"
        if leads and not proxy:
            return "already_leading"
        before = replace(self.contest)
        paddle = self.paddles.setdefault(bidder, len(self.paddles) + 1)
        self._place(bidder, paddle, amount)
        is_private = leads and self.contest.price == before.price
        if not is_private:
            self._count()
        self.log.append(Placed(bidder, paddle, amount, is_private, self.seq))
        if is_private:
            return "leading"
        self._extend(now)
        return "leading" if self.contest.leader == paddle else "outbid"

    def _buy(self, now: int, bidder: str, sale: int) -> str:
        paddle = self.paddles.setdefault(bidder, len(self.paddles) + 1)
        self.contest = Contest(sale, paddle, sale)
        self._count()
        self.log.append(Placed(bidder, paddle, sale, is_raise=False, seq=self.seq, is_purchase=True))
        self.opens_at, self.closes_at, self.outcome = min(self.opens_at, now), now, "bought_now"
        return "winning"

    def seq_of(self, bidder: str) -> int:
        """The seq of a bidder's last bid; raises do not count."""
        return next(each.seq for each in reversed(self.log) if each.bidder == bidder and not each.is_raise)

    def settle(self, now: int) -> None:
        """What is over stays over, at any later reading of the clock."""
        if self.is_over(now) and self.outcome is None:
            self.outcome = "hammer"

    def _count(self) -> None:
        self.bids, self.seq, self.rev = self.bids + 1, self.seq + 1, self.rev + 1

    def _place(self, bidder: str, paddle: int, amount: int) -> None:
        """Resolve an accepted bid."""
        at = self.contest
        if self.terms.bidding == "manual":
            self.contest = Contest(amount, paddle, amount)
        elif at.leader is None or at.price is None:
            self.contest = Contest(self.terms.start_price, paddle, amount)
        elif paddle == at.leader:
            at.max = max(at.max, amount)
        elif amount > at.max or (amount == at.max and self._wins_ties(bidder)):
            price = min(amount, at.max + self.increments.step(at.max))
            self.contest = Contest(max(at.price, price), paddle, amount)
        else:
            at.price = max(at.price, min(at.max, amount + self.increments.step(amount)))
        self._lift_to_reserve()

    def _wins_ties(self, bidder: str) -> bool:
        leader = next(name for name, paddle in self.paddles.items() if paddle == self.contest.leader)
        return bidder in self.terms.priority and leader not in self.terms.priority

    def _lift_to_reserve(self) -> None:
        at, reserve = self.contest, self.reserve
        if reserve is not None and at.price is not None and at.price < reserve <= at.max:
            at.price = reserve

    def _extend(self, now: int) -> None:
        soft, most = self.terms.soft_close, self.terms.max_extensions
        if soft is None or self.closes_at - now >= soft.window_ms or (most is not None and self.extensions >= most):
            return
        later = now + soft.extend_ms
        if self.hard_close_at is not None:
            later = min(later, self.hard_close_at)
        if later > self.closes_at:
            self.closes_at, self.extensions = later, self.extensions + 1

    # --- operators -----------------------------------------------------------------------------------------------

    def act(self, now: int, act: OperatorAction) -> str:
        """The verdict: `done`, or why not."""
        if act.kind in AFTER_THE_HAMMER:
            return self._correct(now, act)
        if self.is_over(now) and act.kind != "void":
            return "not_open"
        if act.kind == "pause" and self.is_paused:
            return "already_paused"
        if act.kind == "resume" and not self.is_paused:
            return "not_paused"
        if act.closes_at is not None and act.closes_at <= max(self.closes_at, now):
            return "not_later"
        if act.kind == "void":
            paddle = act.paddle if act.bidder is None else self.paddles.get(act.bidder)
            if paddle not in self.paddles.values() or paddle in self.voided:
                return "no_such_bidder"
            assert paddle is not None
            self.settle(now)
            self._void(paddle)
        if act.kind == "edit" and isinstance(act.reserve, int):
            has_bids = self.contest.price is not None
            if has_bids and (self.reserve is None or act.reserve > self.reserve):
                return "reserve_raised"
        self.rev += 1
        if act.kind in ("cancel", "close"):
            self.opens_at, self.closes_at, self.paused_at = min(self.opens_at, now), now, None
            self.outcome = "cancelled" if act.kind == "cancel" else "hammer"
        elif act.kind == "pause":
            self.paused_at = now
        elif act.kind == "resume":
            assert self.paused_at is not None
            lost = max(0, now - max(self.paused_at, self.opens_at))
            self.closes_at, self.paused_at = self.closes_at + lost, None
            self.hard_close_at = None if self.hard_close_at is None else self.hard_close_at + lost
        if act.closes_at is not None:
            self.closes_at = act.closes_at
            if self.hard_close_at is not None:
                self.hard_close_at = max(self.hard_close_at, act.closes_at)
        if act.kind == "edit":
            self.title = act.title or self.title
            if act.reserve != "keep":
                self.reserve = act.reserve
                self._lift_to_reserve()
        return "done"

    def _void(self, paddle: int) -> None:
        self.voided.add(paddle)
        self.bids = sum(not placed.is_raise for placed in self._standing())
        leader = self.contest.leader
        if self.passed and paddle != leader:
            return  # a second offer stands
        self._recount()
        if self.outcome == "bought_now" and not any(placed.is_purchase for placed in self._standing()):
            self.outcome = "hammer"
        if any(placed.is_purchase for placed in self._standing()):
            self.outcome = "bought_now"
        self.unpaid = self.unpaid and self.contest.leader == leader

    def _standing(self) -> list[Placed]:
        return [placed for placed in self.log if placed.paddle not in self.voided]

    def _recount(self) -> None:
        """The contest of the bids that stand; second offers are forgotten."""
        self.contest, self.passed, self.hammer_price = Contest(), [], None
        for placed in self._standing():
            if placed.is_purchase:
                self.contest = Contest(placed.amount, placed.paddle, placed.amount)
            else:
                self._place(placed.bidder, placed.paddle, placed.amount)

    # --- after the hammer ----------------------------------------------------------------------------------------

    def _correct(self, now: int, act: OperatorAction) -> str:
        if not self.is_over(now):
            return "not_closed"
        verdict = {"reopen": self._reopen, "second_offer": self._offer_again}.get(act.kind, self._note)(now, act)
        if verdict == "done" and act.kind != "reopen":
            self.settle(now)
        return verdict

    def _reopen(self, now: int, act: OperatorAction) -> str:
        assert act.closes_at is not None
        if now - self.closes_at >= REOPENS_MS:
            return "too_late"
        if act.closes_at <= max(self.closes_at, now):
            return "not_later"
        standing = self._standing()
        self.log = [placed for placed in self.log if not placed.is_purchase]
        if self.passed or len(self._standing()) != len(standing):
            self._recount()
            self.bids = sum(not placed.is_raise for placed in self._standing())
        self.opens_at, self.closes_at, self.extensions = min(self.opens_at, now), act.closes_at, 0
        if self.hard_close_at is not None:
            self.hard_close_at = max(self.hard_close_at, act.closes_at)
        self.outcome, self.unpaid, self.archived = None, False, False
        self.rev += 2
        return "done"

    def _offer_again(self, now: int, act: OperatorAction) -> str:
        if self.shown(now)["outcome"] not in ("sold", "bought_now"):
            return "not_sold"
        leader = self.contest.leader
        assert leader is not None
        assert self.contest.price is not None
        paddle = self._best_underbidder([*self.passed, leader]) if act.paddle is None else act.paddle
        committed = [placed.amount for placed in self._standing() if placed.paddle == paddle]
        if paddle is None or paddle == leader or not committed:
            return "no_underbidder"
        hammer_price = self.contest.price if self.hammer_price is None else self.hammer_price
        price = min(hammer_price, max(committed))
        if price < (self.reserve or 0):
            return "below_reserve"
        self.contest, self.hammer_price, self.outcome = Contest(price, paddle, price), hammer_price, "hammer"
        self.passed = [each for each in self.passed if each != paddle] + [leader]
        self.unpaid = False
        self.rev += 1
        return "done"

    def _best_underbidder(self, others: list[int]) -> int | None:
        """The paddle with the highest commitment; of equals one with priority, and of those the first."""
        ranked = [
            (-placed.amount, placed.bidder not in self.terms.priority, place, placed.paddle)
            for place, placed in enumerate(self._standing())
            if placed.paddle not in others and not placed.is_purchase
        ]
        return min(ranked)[3] if ranked else None

    def _note(self, now: int, act: OperatorAction) -> str:
        if act.kind in ("archive", "unarchive"):
            if self.archived == (act.kind == "archive"):
                return "unchanged"
            self.archived = not self.archived
            return "done"
        if self.shown(now)["outcome"] not in ("sold", "bought_now"):
            return "not_sold"
        if self.unpaid == (act.kind == "unpaid"):
            return "unchanged"
        self.unpaid = not self.unpaid
        return "done"
