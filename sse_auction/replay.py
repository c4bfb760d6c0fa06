"""What a log says that an auction has come to: an account of its own, to hold the store's against.

Pure, and written in another way than the scripts: they keep a running state, this goes through the whole log. It takes
entries one by one, so that a log of any length is read in pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from sse_auction.auction import Increments
from sse_auction.money import MAX_MINOR_UNITS, format_amount

Fields = Mapping[str, str]


class BrokenLog(ValueError):
    """A log that cannot have been written by this service; the message says where."""


@dataclass
class _Bid:
    bidder: str
    paddle: str
    most: int
    is_raise: bool


@dataclass
class Replay:
    """`take` every entry in order, then `expected` is what the auction's hash and price must say."""

    created: Fields | None = None
    currency: str = ""
    price: int | None = None
    leader: str = ""
    most: int = 0
    leader_wins_ties: bool = False
    bids: list[_Bid] = field(default_factory=list)
    standing: int = 0
    voided: set[str] = field(default_factory=set)
    public: dict[str, str] = field(default_factory=dict)
    reserve: int | None = None
    rev: int = 0
    seq: int = 0
    acts: int = 0
    ending: str = ""  # what ended it before its time, if that decides the outcome

    def take(self, entry_id: str, fields: Fields) -> None:
        """One entry of the log; `BrokenLog` when it does not follow from those before."""
        major, _, minor = entry_id.partition("-")
        kind = fields.get("kind", "bid")
        try:
            if self.created is None and kind != "created":
                raise BrokenLog(f"entry {entry_id}: a log begins with the auction's creation")
            if kind == "bid":
                self._check(entry_id, int(major) == self.seq + 1 and minor == "0", "a bid is missing before it")
                self._take_bid(entry_id, fields)
            else:
                self.acts += 1
                self._check(
                    entry_id, (int(major), int(minor)) == (self.seq, self.acts), "an entry is missing before it"
                )
                self._take_act(entry_id, kind, fields)
        except (KeyError, ValueError) as error:
            if isinstance(error, BrokenLog):
                raise
            raise BrokenLog(f"entry {entry_id} cannot be read: {error!r}") from None

    def expected(self) -> dict[str, str]:
        """Fields of the auction's hash, and `price`: what they must be."""
        if self.created is None:
            return {}
        reserve_met = "" if self.reserve is None else str(int((self.price or 0) >= self.reserve))
        return {
            **self.public,
            "price": "" if self.price is None else format_amount(self.price, self.currency),
            "leader": self.leader, "bids": str(self.standing), "seq": str(self.seq), "acts": str(self.acts),
            "rev": str(self.rev), "reserve_met": reserve_met, "voided": " ".join(sorted(self.voided)),
            **self._expected_maximum(),
        }  # fmt: skip

    def _expected_maximum(self) -> dict[str, str]:
        """Of a proxy auction that has had a bid; others keep none."""
        if self.public["bidding"] != "proxy" or not self.seq:
            return {}
        return {"max": str(self.most) if self.leader else ""}

    def _check(self, entry_id: str, holds: bool, otherwise: str) -> None:
        if not holds:
            raise BrokenLog(f"entry {entry_id}: {otherwise}")

    # --- bids ----------------------------------------------------------------------------------------------------

    def _take_bid(self, entry_id: str, fields: Fields) -> None:
        at, closes_at, hard = int(fields["at"]), int(self.public["closes_at"]), self.public["hard_close_at"]
        self._check(entry_id, at < closes_at, f"it was taken at {at}, and the auction closed at {closes_at}")
        bid = _Bid(fields["bidder"], fields["paddle"], int(fields["max"]), is_raise=False)
        self._check(entry_id, at >= int(self.public["opens_at"]), f"it was taken at {at}, before the opening")
        self._check(entry_id, self.public["paused_at"] == "", "it was taken during a pause")
        self._check(entry_id, bid.paddle not in self.voided, "its bidder had been voided")
        self._check(entry_id, self._is_enough(bid, fields), f"{bid.most} minor units were not enough")
        self.bids.append(bid)
        self.seq, self.rev, self.standing = self.seq + 1, self.rev + 1, self.standing + 1
        if fields.get("buy_now") == "1":
            self.price, self.leader, self.most = bid.most, bid.paddle, bid.most
            self.public["closes_at"], self.ending = str(at), "bought_now"
            return
        self._place(bid)
        shown = format_amount(self.price or 0, self.currency)
        self._check(entry_id, shown == fields["price"], f"it made the price {fields['price']}, which must be {shown}")
        window, most = self.public["window_ms"], self.public["max_extensions"]
        extensions = int(self.public["extensions"])
        if window and closes_at - at < int(window) and not (most and extensions >= int(most)):
            later = min(at + int(self.public["extend_ms"]), int(hard) if hard else MAX_MINOR_UNITS)
            if later > closes_at:
                self.public |= {"closes_at": str(later), "extensions": str(extensions + 1)}

    def _is_enough(self, bid: _Bid, fields: Fields) -> bool:
        if fields.get("buy_now") == "1":
            return self.public["buy_now"] == str(bid.most)
        if self.price is None:
            return bid.most >= int(self.public["start_price"])
        if self.public["bidding"] == "proxy" and bid.paddle == self.leader:
            return bid.most > self.most
        return bid.most >= self.price + Increments.load(self.public["increments"]).step(self.price)

    def _place(self, bid: _Bid) -> None:
        assert self.created is not None
        favoured = bid.bidder in msgspec.json.decode(self.created["priority"], type=list[str])
        rules = Increments.load(self.public["increments"])
        if self.public["bidding"] != "proxy":
            self.price, self.leader, self.most = bid.most, bid.paddle, bid.most
        elif self.price is None:
            self._lead(bid, int(self.public["start_price"]), favoured)
        elif bid.paddle == self.leader:
            self.most = max(self.most, bid.most)
        elif bid.most > self.most or (bid.most == self.most and favoured and not self.leader_wins_ties):
            self._lead(bid, max(self.price, min(bid.most, self.most + rules.step(self.most))), favoured)
        else:
            self.price = max(self.price, min(self.most, bid.most + rules.step(bid.most)))
        self._meet_reserve()

    def _lead(self, bid: _Bid, price: int, favoured: bool) -> None:
        self.price, self.leader, self.most, self.leader_wins_ties = price, bid.paddle, bid.most, favoured

    def _meet_reserve(self) -> None:
        if self.reserve is not None and self.price is not None and self.price < self.reserve <= self.most:
            self.price = self.reserve

    # --- everything else -----------------------------------------------------------------------------------------

    def _take_act(self, entry_id: str, kind: str, fields: Fields) -> None:
        if kind == "created":
            self._create(fields)
        elif kind == "raise":
            bid = _Bid(fields["bidder"], fields["paddle"], int(fields["max"]), is_raise=True)
            self._check(entry_id, bid.paddle == self.leader and bid.most > self.most, "it raises no leader's maximum")
            self.bids.append(bid)
            self._place(bid)
        elif kind == "settled":
            outcome = self.ending or self._outcome()
            told = (fields["outcome"], fields["price"], fields["leader"])
            due = (outcome, "" if self.price is None else format_amount(self.price, self.currency), self.leader)
            self._check(entry_id, told == due, f"it settled {told}, which must be {due}")
            self.public |= {"outcome": outcome, "settled": "1"}
        else:
            self.rev += 1
            self._operate(kind, fields)

    def _outcome(self) -> str:
        if not self.leader:
            return "no_bids"
        return "reserve_not_met" if self.reserve is not None and (self.price or 0) < self.reserve else "sold"

    def _create(self, fields: Fields) -> None:
        self.created = fields
        self.currency = fields["currency"]
        self.reserve = int(fields["reserve"]) if fields["reserve"] else None
        private = ("kind", "at", "actor", "seller", "reserve", "priority")
        self.public = {name: value for name, value in fields.items() if name not in private}
        self.public |= {
            "created_at": fields["at"], "original_closes_at": fields["closes_at"], "extensions": "0", "paused_at": "",
            "outcome": "",
        }  # fmt: skip

    def _operate(self, kind: str, fields: Fields) -> None:
        at = fields["at"]
        if kind in ("cancel", "close"):
            opens_at = str(min(int(self.public["opens_at"]), int(at)))
            self.public |= {"opens_at": opens_at, "closes_at": at, "paused_at": ""}
            self.ending = "cancelled" if kind == "cancel" else ""
        elif kind == "pause":
            self.public["paused_at"] = at
        elif kind == "resume":
            lost = max(0, int(at) - max(int(self.public["paused_at"]), int(self.public["opens_at"])))
            self.public |= {"closes_at": str(int(self.public["closes_at"]) + lost), "paused_at": ""}
            if self.public["hard_close_at"]:
                self.public["hard_close_at"] = str(int(self.public["hard_close_at"]) + lost)
        elif kind == "void":
            self._void(fields["paddle"])
        if kind in ("extend", "edit") and "closes_at" in fields:
            self.public["closes_at"] = fields["closes_at"]
            if self.public["hard_close_at"]:
                later = max(int(self.public["hard_close_at"]), int(fields["closes_at"]))
                self.public["hard_close_at"] = str(later)
        if "title" in fields:
            self.public["title"] = fields["title"]
        if "reserve" in fields:
            self.reserve = int(fields["reserve"]) if fields["reserve"] else None
            self._meet_reserve()

    def _void(self, paddle: str) -> None:
        self.voided.add(paddle)
        self.price, self.leader, self.most, self.leader_wins_ties, self.standing = None, "", 0, False, 0
        for bid in self.bids:
            if bid.paddle not in self.voided:
                self._place(bid)
                self.standing += not bid.is_raise


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What the log says and the store does not, in words; empty when they agree."""
    return [
        f"{name} must be {value!r} by the log, and is {found.get(name, '')!r}"
        for name, value in expected.items()
        if found.get(name, "") != value
    ]
