"""The contest of the bids in a log: the price and the leader that they make by the rules, in their order. Pure."""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from sse_auction.auction.increments import Increments


@dataclass
class Bid:
    """A bid of a log; amounts in minor units."""

    seq: int
    bidder: str
    paddle: str
    most: int
    is_raise: bool
    names_leader: bool  # whether the entry names the leader after it; entries of older releases do not
    is_purchase: bool


@dataclass
class Contest:
    """The bids of one auction, and the price and leader that they make.

    `terms` are the auction's public fields, as in the store; `standing` counts the bids that are not void.
    """

    terms: Mapping[str, str] = field(default_factory=dict)
    priority: list[str] = field(default_factory=list)
    reserve: int | None = None
    price: int | None = None
    leader: str = ""
    leading: Bid | None = None  # the leader's own last bid
    most: int = 0
    leader_wins_ties: bool = False
    bids: list[Bid] = field(default_factory=list)
    standing: int = 0

    def is_enough(self, bid: Bid) -> bool:
        """Whether the rules accept a bid after the bids before it."""
        if bid.is_purchase:
            return self.terms["buy_now"] == str(bid.most)
        is_proxy = self.terms["bidding"] == "proxy"
        base = int(self.terms["start_price"]) if self.price is None else self.price
        step = Increments.load(self.terms["increments"]).step(base)
        if self.terms["aligned"] == "1" and (bid.most - base) % step:
            return False
        if self.price is not None and bid.paddle == self.leader:
            return is_proxy and bid.most > self.most
        return bid.most >= (base if self.price is None else base + step)

    def buy(self, bid: Bid) -> None:
        """Apply a bid that buys the lot."""
        self.price, self.leader, self.most, self.leading = bid.most, bid.paddle, bid.most, bid

    def place(self, bid: Bid) -> None:
        """Apply a bid that `is_enough`."""
        favoured = bid.bidder in self.priority
        rules = Increments.load(self.terms["increments"])
        if self.terms["bidding"] != "proxy":
            self._lead(bid, bid.most, favoured)
        elif self.price is None:
            self._lead(bid, int(self.terms["start_price"]), favoured)
        elif bid.paddle == self.leader:
            self.most = max(self.most, bid.most)
            if not bid.is_raise:
                self.leading = bid
        elif bid.most > self.most or (bid.most == self.most and favoured and not self.leader_wins_ties):
            self._lead(bid, max(self.price, min(bid.most, self.most + rules.step(self.most))), favoured)
        else:
            self.price = max(self.price, min(self.most, bid.most + rules.step(bid.most)))
        self.meet_reserve()

    def meet_reserve(self) -> None:
        """Raise the price to the reserve when the leader's maximum reaches it."""
        if self.reserve is not None and self.price is not None and self.price < self.reserve <= self.most:
            self.price = self.reserve

    @property
    def reserve_met(self) -> str:
        """`1` or `0`, as in the store; empty without a reserve."""
        return "" if self.reserve is None else str(int((self.price or 0) >= self.reserve))

    def sell(self, paddle: str, price: int) -> None:
        """Apply a second offer: the lot goes to another paddle at this price."""
        self.price, self.leader, self.most, self.leader_wins_ties, self.leading = price, paddle, price, False, None

    def recount(self, voided: Container[str]) -> None:
        """Apply all bids again, except those of the paddles in `voided`."""
        self.price, self.leader, self.most, self.leader_wins_ties, self.standing = None, "", 0, False, 0
        for bid in self.bids:
            if bid.paddle not in voided:
                (self.buy if bid.is_purchase else self.place)(bid)
                self.standing += not bid.is_raise

    def _lead(self, bid: Bid, price: int, favoured: bool) -> None:
        self.price, self.leader, self.most, self.leader_wins_ties = price, bid.paddle, bid.most, favoured
        self.leading = bid


def names_of(text: str) -> list[str]:
    """Read a JSON list of names. Raises: `ValueError` if it is anything else."""
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{text} is no list of names")
    return names
