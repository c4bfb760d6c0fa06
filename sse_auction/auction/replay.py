"""The state that follows from an auction's log: an independent result, to compare with the store's state.

Pure, and written in another way than the scripts: they update a running state, this goes through the whole log. It
takes entries one by one, so that a log of any length can be read in pages. The rules must allow each entry after the
entries before it. The store's clock is known only from the entries, so a clock that was set is accepted as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sse_auction.auction.contest import Bid, Contest, names_of
from sse_auction.auction.money import MAX_MINOR_UNITS, format_amount

Fields = Mapping[str, str]
_CORRECTIONS = ("reopen", "second_offer", "unpaid", "paid", "archive", "unarchive", "erase")
# How far an act raises the revision, if not by 1. A reopening counts for itself and for the closing that it undoes.
_REVISIONS = {"reopen": 2, "unpaid": 0, "paid": 0, "archive": 0, "unarchive": 0, "erase": 0}
_PRIVATE = ("seller", "reserve", "priority")
_LATEST_MS = 253402300799999  # the end of the year 9999


class BrokenLog(ValueError):
    """This service cannot have written the log. The message names the entry."""


@dataclass
class Replay:
    """`take` every entry in order; then `expected` and `paddles` are what the store must hold."""

    created: Fields | None = None
    currency: str = ""
    contest: Contest = field(default_factory=Contest)
    paddles: dict[str, str] = field(default_factory=dict)  # of each bidder
    voided: dict[str, str] = field(default_factory=dict)  # paddle to reason
    public: dict[str, str] = field(default_factory=dict)
    rev: int = 0
    seq: int = 0
    acts: int = 0
    ending: str = ""  # what ended the auction before its time, if that decides the outcome

    def take(self, entry_id: str, fields: Fields) -> None:
        """Take one entry of the log. Raises: `BrokenLog` when it cannot follow the entries before it."""
        major, _, minor = entry_id.partition("-")
        kind = fields.get("kind", "bid")
        try:
            _check((self.created is None) == (kind == "created"), "a log begins with the auction's creation")
            _check(0 < int(fields["at"]) <= _LATEST_MS, f"at {fields['at']} is no moment")
            if kind == "bid":
                _check(int(major) == self.seq + 1 and minor == "0", "a bid is missing before it")
                self._take_bid(fields)
            else:
                self.acts += 1
                _check((int(major), int(minor)) == (self.seq, self.acts), "an entry is missing before it")
                self._take_act(kind, fields)
        except BrokenLog as error:
            raise BrokenLog(f"entry {entry_id}: {error}") from None
        except (KeyError, ValueError, RecursionError) as error:
            raise BrokenLog(f"entry {entry_id} cannot be read: {error!r}") from None

    def expected(self) -> dict[str, str]:
        """The required values of the fields of the auction's two hashes, and of `price` and `voided`."""
        if self.created is None:
            return {}
        contest = self.contest
        return {
            **self.public,
            "price": self._shown_price(),
            "leader": contest.leader, "bids": str(contest.standing), "seq": str(self.seq), "acts": str(self.acts),
            "rev": str(self.rev), "reserve_met": contest.reserve_met, "voided": " ".join(sorted(self.voided)),
            **{name: self.created[name] for name in _PRIVATE},
            "reserve": "" if contest.reserve is None else str(contest.reserve),
            **self._expected_maximum(),
        }  # fmt: skip

    def _expected_maximum(self) -> dict[str, str]:
        """The fields of the leader's maximum in a proxy auction; empty in other auctions."""
        contest = self.contest
        if self.public["bidding"] != "proxy" or not contest.leader:
            return {"max": "", "priority_leads": "", "leader_seq": ""}
        kept = {"max": str(contest.most), "priority_leads": "1" if contest.leader_wins_ties else ""}
        last = contest.leading
        return {**kept, "leader_seq": str(last.seq)} if last and last.names_leader else kept

    def _shown_price(self) -> str:
        return "" if self.contest.price is None else format_amount(self.contest.price, self.currency)

    # --- bids ----------------------------------------------------------------------------------------------------

    def _take_bid(self, fields: Fields) -> None:
        self._check_moment(int(fields["at"]))
        self._check_bidder(fields)
        bid = self._read(self.seq + 1, fields)
        self.seq, self.rev, self.contest.standing = self.seq + 1, self.rev + 1, self.contest.standing + 1
        if bid.is_purchase:
            self.contest.buy(bid)
            self._end_at(fields["at"])
            self.ending = "bought_now"
        else:
            self.contest.place(bid)
            self._extend(int(fields["at"]))
        shown = format_amount(self.contest.price or 0, self.currency)
        _check(shown == fields["price"], f"it made the price {fields['price']}, which must be {shown}")
        leads = fields.get("leader", self.contest.leader)
        _check(leads == self.contest.leader, f"paddle {leads} leads after it, which must be {self.contest.leader}")

    def _read(self, seq: int, fields: Fields) -> Bid:
        is_raise = "kind" in fields
        is_purchase = fields.get("buy_now") == "1"
        most = int(fields["max"])
        bid = Bid(seq, fields["bidder"], fields["paddle"], most, is_raise, "leader" in fields, is_purchase)
        _check(self.contest.is_enough(bid), f"{bid.most} minor units were not enough")
        self.contest.bids.append(bid)
        return bid

    def _check_moment(self, at: int) -> None:
        """Check that bids are accepted then: open since the first bid, without an outcome, before the closing."""
        _check(not self.public["outcome"], "it comes after the outcome")
        _check(self.public["paused_at"] == "", "it was taken during a pause")
        closes_at, opens_at = int(self.public["closes_at"]), int(self.public["opens_at"])
        _check(at < closes_at, f"it was taken at {at}, and the auction closed at {closes_at}")
        _check(at >= opens_at or self.seq > 0, f"it was taken at {at}, before the opening")

    def _check_bidder(self, fields: Fields) -> None:
        bidder, paddle = fields["bidder"], fields["paddle"]
        due = self.paddles.setdefault(bidder, str(len(self.paddles) + 1))
        _check(paddle == due, f"{bidder!r} has paddle {paddle} there, which must be {due}")
        _check(paddle not in self.voided, "its bidder had been voided")
        _check(self.created is not None and bidder != self.created["seller"], "its bidder is the seller")

    def _extend(self, at: int) -> None:
        window, most, hard = self.public["window_ms"], self.public["max_extensions"], self.public["hard_close_at"]
        closes_at, extensions = int(self.public["closes_at"]), int(self.public["extensions"])
        if not window or closes_at - at >= int(window) or (most and extensions >= int(most)):
            return
        later = min(at + int(self.public["extend_ms"]), int(hard) if hard else MAX_MINOR_UNITS)
        if later > closes_at:
            self.public |= {"closes_at": str(later), "extensions": str(extensions + 1)}

    # --- everything else -----------------------------------------------------------------------------------------

    def _take_act(self, kind: str, fields: Fields) -> None:
        if kind == "created":
            self._create(fields)
        elif kind == "raise":
            self._raise(fields)
        elif kind == "settled":
            self._settle(fields)
        else:
            self.rev += _REVISIONS.get(kind, 1)
            self._operate(kind, fields)

    def _create(self, fields: Fields) -> None:
        self.created = fields
        self.currency = fields["currency"]
        private = ("kind", "at", "actor", *_PRIVATE)
        self.public = {name: value for name, value in fields.items() if name not in private}
        self.public |= {
            "created_at": fields["at"], "original_closes_at": fields["closes_at"], "extensions": "0", "paused_at": "",
            "outcome": "", "settled": "", "passed": "", "hammer_price": "", "undone": "", "unpaid": "", "archived": "",
        }  # fmt: skip
        self.contest = Contest(
            terms=self.public,
            priority=names_of(fields["priority"]),
            reserve=int(fields["reserve"]) if fields["reserve"] else None,
        )
        first = max(int(fields["at"]), int(fields["opens_at"]))
        _check(first < int(fields["closes_at"]), "it closes before it is created or opens")

    def _raise(self, fields: Fields) -> None:
        self._check_moment(int(fields["at"]))
        self._check_bidder(fields)
        _check(fields["paddle"] == self.contest.leader, "only the leader's maximum can be raised")
        price = self.contest.price
        self.contest.place(self._read(self.seq, fields))
        _check(self.contest.price == price, "it moves the price, and is no bid")

    def _settle(self, fields: Fields) -> None:
        at, closes_at = int(fields["at"]), int(self.public["closes_at"])
        _check(not self.public["outcome"], "it has an outcome already")
        _check(not self.public["paused_at"], "it was settled during a pause")
        _check(at >= closes_at, f"it was settled at {at}, before the closing at {closes_at}")
        outcome = self.ending or self._outcome()
        logged = (fields["outcome"], fields["price"], fields["leader"])
        due = (outcome, self._shown_price(), self.contest.leader)
        _check(logged == due, f"it settled {logged}, which must be {due}")
        self.public |= {"outcome": outcome, "settled": "1"}

    def _outcome(self) -> str:
        if not self.contest.leader:
            return "no_bids"
        return "reserve_not_met" if self.contest.reserve_met == "0" else "sold"

    def _end_at(self, at: str) -> None:
        opens_at = str(min(int(self.public["opens_at"]), int(at)))
        self.public |= {"opens_at": opens_at, "closes_at": at, "paused_at": ""}

    def _operate(self, kind: str, fields: Fields) -> None:
        at = int(fields["at"])
        is_over = bool(self.public["outcome"]) or (at >= int(self.public["closes_at"]) and not self.public["paused_at"])
        if kind in _CORRECTIONS or (kind == "void" and self.public["outcome"]):
            _check(self.public["outcome"] != "", f"{kind} comes before the outcome")
        else:
            _check(not is_over, f"{kind} at {at} comes after the end")
        if kind in ("cancel", "close"):
            self._end_at(fields["at"])
            self.ending = "cancelled" if kind == "cancel" else ""
        elif kind == "pause":
            _check(not self.public["paused_at"], "it is paused already")
            self.public["paused_at"] = fields["at"]
        elif kind == "resume":
            self._resume(at)
        elif kind == "void":
            self._void(fields["paddle"], fields["reason"])
        elif kind in ("extend", "edit"):
            self._edit(at, fields)
        elif kind in _CORRECTIONS:
            self._correct(kind, fields)
        else:
            raise BrokenLog(f"there is no act {kind!r}")
        for name in ("closes_at", "hard_close_at"):
            due = self.public[name]
            _check(fields.get(name, due) == due, f"{kind} made {name} {fields.get(name)}, which must be {due}")

    def _resume(self, at: int) -> None:
        _check(self.public["paused_at"] != "", "it is not paused")
        lost = max(0, at - max(int(self.public["paused_at"]), int(self.public["opens_at"])))
        moved = {name: self.public[name] for name in ("closes_at", "hard_close_at") if self.public[name]}
        self.public |= {"paused_at": "", **{name: str(int(moment) + lost) for name, moment in moved.items()}}

    def _edit(self, at: int, fields: Fields) -> None:
        if "closes_at" in fields:
            closes_at, hard = int(fields["closes_at"]), self.public["hard_close_at"]
            _check(closes_at > max(at, int(self.public["closes_at"])), "the closing is not moved to later")
            self.public["closes_at"] = fields["closes_at"]
            self.public["hard_close_at"] = hard and str(max(int(hard), closes_at))
        self.public["title"] = fields.get("title", self.public["title"])
        if "reserve" in fields:
            wanted = int(fields["reserve"]) if fields["reserve"] else None
            is_raised = wanted is not None and (self.contest.reserve is None or wanted > self.contest.reserve)
            _check(not is_raised or self.contest.price is None, "the reserve is raised after a bid")
            self.contest.reserve = wanted
            self.contest.meet_reserve()

    def _void(self, paddle: str, reason: str) -> None:
        _check(paddle in self.paddles.values() and paddle not in self.voided, f"paddle {paddle} has no bids to void")
        self.voided[paddle] = reason
        self.contest.standing = sum(bid.paddle not in self.voided and not bid.is_raise for bid in self.contest.bids)
        if self.public["passed"] and paddle != self.contest.leader:
            return  # a second offer stands
        leader = self.contest.leader
        self._recount()
        if self.public["outcome"] not in ("", "cancelled"):
            bought = any(bid.is_purchase and bid.paddle not in self.voided for bid in self.contest.bids)
            self.public["outcome"] = "bought_now" if bought else self._outcome()
        if self.contest.leader != leader:
            self.public["unpaid"] = ""

    def _recount(self) -> None:
        """Recompute the contest of all bids that are not void, without second offers."""
        self.public |= {"passed": "", "hammer_price": ""}
        self.contest.recount(self.voided)

    # --- after the hammer ----------------------------------------------------------------------------------------

    def _correct(self, kind: str, fields: Fields) -> None:
        was_sold = self.public["outcome"] in ("sold", "bought_now")
        if kind == "reopen":
            self._reopen(fields)
        elif kind == "second_offer":
            _check(was_sold, "nobody had won it")
            self._sell_to(fields["paddle"], fields)
        elif kind in ("unpaid", "paid"):
            _check(was_sold, "nobody had won it")
            self._mark("unpaid", kind == "unpaid")
        elif kind in ("archive", "unarchive"):
            self._mark("archived", kind == "archive")

    def _mark(self, name: str, wanted: bool) -> None:
        _check(wanted != bool(self.public[name]), f"it changes nothing: {name} is {self.public[name]!r}")
        self.public[name] = "1" if wanted else ""

    def _reopen(self, fields: Fields) -> None:
        at, closes_at, hard = int(fields["at"]), int(fields["closes_at"]), self.public["hard_close_at"]
        _check(closes_at > max(at, int(self.public["closes_at"])), "the closing is not moved to later")
        purchases = [bid for bid in self.contest.bids if bid.is_purchase]
        self.contest.bids = [bid for bid in self.contest.bids if not bid.is_purchase]
        undone = "".join(f"{bid.seq} " for bid in purchases if bid.paddle not in self.voided)
        if undone or self.public["passed"]:
            self._recount()
        self.public |= {
            "opens_at": str(min(int(self.public["opens_at"]), at)), "closes_at": fields["closes_at"],
            "hard_close_at": hard and str(max(int(hard), closes_at)), "extensions": "0", "outcome": "", "settled": "",
            "unpaid": "", "archived": "", "undone": self.public["undone"] + undone,
        }  # fmt: skip
        self.ending = ""

    def _sell_to(self, paddle: str, fields: Fields) -> None:
        """Apply a second offer."""
        offers = [bid.most for bid in self.contest.bids if bid.paddle == paddle and paddle not in self.voided]
        _check(paddle != self.contest.leader and bool(offers), f"paddle {paddle} is no underbidder")
        hammer_price = int(self.public["hammer_price"] or self.contest.price or 0)
        price = min(max(offers, default=0), hammer_price)
        shown = format_amount(price, self.currency)
        _check(price >= (self.contest.reserve or 0), "it is below the reserve")
        logged, due = (fields["passed"], fields["price"]), (self.contest.leader, shown)
        _check(logged == due, f"it passed and asked {logged}, which must be {due}")
        passed = [each for each in self.public["passed"].split() if each != paddle]
        self.public |= {
            "passed": "".join(f"{each} " for each in [*passed, self.contest.leader]), "hammer_price": str(hammer_price),
            "outcome": "sold", "unpaid": "",
        }  # fmt: skip
        self.contest.sell(paddle, price)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenLog(otherwise)
