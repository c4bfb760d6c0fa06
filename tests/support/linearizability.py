"""Whether a recorded history of one auction can be explained by an auction that does one thing at a time.

Rule: pure functions of a history; nothing here does I/O or reads a clock, and money is in minor units. The checker
knows the rules of a manual auction that is open from the start and closes once, at any moment. It does not know proxy
bids, reserves, buy-now, pauses, voids, aligned amounts and the refusal of a price a hundred times too high.

The search is that of Wing and Gong with Lowe's memory. These facts keep it short without making it incomplete:
- All asks of one key are one bid: it is decided between the first ask and the first answer, and all answers are alike.
- What changes nothing (a refusal, a read) goes first as soon as it fits: whatever follows it there could follow later.
- A bid without an answer matters only where it was accepted. Prices only rise, so one that was taken never fits again:
  the memory needs the price, and not which of these bids were taken.
- `seq`, reads and logs tell which bid is the n-th, so few others are tried in its place.
What is left is exponential only in simultaneous refusals that, without a log, any of the unanswered bids may explain.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sse_auction.auction.increments import Increments
from tests.support.history import (
    Accepted,
    Answer,
    Bid,
    Log,
    Operation,
    Read,
    ReadLog,
    Refused,
    Shown,
    Unknown,
    by_key,
    one_bid,
)

SHOWN_OF_PREFIX = 5  # operations: a contradiction is between the last ones


class Standing(NamedTuple):
    """The auction between two operations."""

    bids: int = 0
    price: int | None = None
    leader: str | None = None
    closed: bool = False
    paddles: tuple[str, ...] = ()  # bidders in the order of their first bids; only kept for a log that has paddles


@dataclass(frozen=True, slots=True)
class Verdict:
    """An order that explains the history, or the longest one that was found and what cannot follow it.

    In `order` all asks of a key are one operation, and bids without an answer appear where they must have counted.
    """

    ok: bool
    order: tuple[Operation, ...]
    stuck: tuple[Operation, ...] = ()
    contradiction: str = ""


Trail: TypeAlias = "tuple[Trail, Operation] | None"


class Node(NamedTuple):
    """A place in the search: bit n of `done` is the n-th answered operation."""

    done: int
    standing: Standing
    trail: Trail


def check(history: Iterable[Operation], start_price: int, increments: Increments) -> Verdict:
    """Whether `history` is linearizable; `ValueError` when no client could have recorded it."""
    known: list[Operation] = []
    unknown: list[Operation] = []
    for asks in by_key(history):
        bid = one_bid(asks)
        if bid is None:
            stuck = tuple(asks)
            return Verdict(False, (), stuck, "One key has two answers:" + _lines(stuck))
        (unknown if isinstance(bid.answer, Unknown) else known).append(bid)
    return _Search(known, unknown, start_price, increments).verdict()


def _lines(operations: Iterable[Operation]) -> str:
    return "".join(f"\n  {each}" for each in operations)


class _Search:
    def __init__(self, known: list[Operation], unknown: list[Operation], start_price: int, increments: Increments):
        self.start_price, self.increments = start_price, increments
        self.known = sorted(known, key=lambda each: each.answered_at)
        self.everything = (1 << len(known)) - 1
        self.windows = list(_windows(self.known))
        self.unknown = _distinct(unknown)
        self.fits_closed = sum(1 << n for n, each in enumerate(self.known) if _fits_closed(each.answer))
        answers = [each.answer for each in self.known]
        self.log = max((each.entries for each in answers if isinstance(each, Log)), key=len, default=())
        self.has_paddles = all(who.isdecimal() for _, who, _ in self.log) and bool(self.log)
        accepted = [(each.request, each.answer.seq) for each in self.known if isinstance(each.answer, Accepted)]
        self.answered_seqs = {seq for _, seq in accepted}
        # What answers say of the n-th bid and of the paddles. Where two disagree, either serves: the other never fits.
        self.prices = {each.bids: each.price for each in answers if isinstance(each, Shown)}
        self.holders = {
            self.log[seq - 1][1]: request.bidder
            for request, seq in accepted
            if self.has_paddles and isinstance(request, Bid) and 1 <= seq <= len(self.log)
        }
        self.last_seen = max([len(self.log), *self.answered_seqs, *self.prices])  # no answer mentions later bids

    def verdict(self) -> Verdict:
        stack, seen = [Node(0, Standing(), None)], set()
        longest, reached = stack[0], -1
        while stack:
            node = self.settled(stack.pop())
            if node.done == self.everything:
                return Verdict(True, _order(node.trail))
            standing = node.standing
            place = (node.done, standing._replace(bids=min(standing.bids, self.last_seen + 1)))
            if place in seen:
                continue
            seen.add(place)
            if node.done.bit_count() > reached:
                longest, reached = node, node.done.bit_count()
            stack.extend(reversed(list(self.moves(node))))
        return self.contradiction(longest)

    def pending(self, done: int) -> list[int]:
        """What may come next: requests sent before the first answer of the rest."""
        first = (~done & (done + 1)).bit_length() - 1
        return [n for n in self.windows[first] if not done >> n & 1]

    def settled(self, node: Node) -> Node:
        """The place after all operations that fit and change nothing."""
        done, standing, trail = node
        while done != self.everything:
            fitting = [n for n in self.pending(done) if self.fits(self.known[n], standing)]
            if not fitting:
                break
            for n in fitting:
                done, trail = done | 1 << n, (trail, self.known[n])
        return Node(done, standing, trail)

    def moves(self, node: Node) -> Iterator[Node]:
        """Every change that may come next, the likeliest first."""
        done, at, trail = node
        if at.closed:
            return
        pending = self.pending(done)
        if done | self.fits_closed == self.everything:
            yield Node(done, at._replace(closed=True), trail)
        if any(_is_outlived(self.known[n].answer, at.bids) for n in pending):
            return  # another bid would leave it unexplained for good
        for n in pending:
            request, answer = self.known[n].request, self.known[n].answer
            if isinstance(request, Bid) and answer == Accepted(at.bids + 1, request.amount):
                after = self.after(request, at)
                if after is not None:
                    yield Node(done | 1 << n, after, (trail, self.known[n]))
        if at.bids + 1 in self.answered_seqs:
            return
        latest = min(self.known[n].answered_at for n in pending)
        for operation, bid in self.unknown:
            if operation.asked_at <= latest and self.prices.get(at.bids + 1, bid.amount) == bid.amount:
                after = self.after(bid, at)
                if after is not None:
                    yield Node(done, after, (trail, operation))

    def next_bid(self, at: Standing) -> int:
        return self.start_price if at.price is None else at.price + self.increments.step(at.price)

    def fits(self, operation: Operation, at: Standing) -> bool:
        """Whether it changes nothing and would get this answer."""
        match operation.request, operation.answer:
            case Read(), Shown(bids, price, closed):
                return (bids, price, closed) == (at.bids, at.price, at.closed)
            case ReadLog(), Log(entries):
                return len(entries) == at.bids and entries == self.log[: at.bids]  # `after` kept to `log` so far
            case Bid(), Refused("not_open"):
                return at.closed
            case Bid(amount=amount), Refused("too_low"):
                return not at.closed and amount < self.next_bid(at)
            case Bid(bidder=bidder, amount=amount), Refused("already_leading"):
                return not at.closed and amount >= self.next_bid(at) and bidder == at.leader
        return False

    def after(self, bid: Bid, at: Standing) -> Standing | None:
        """What an open auction becomes by an accepted bid; None if the rules refuse it or the log contradicts."""
        if bid.amount < self.next_bid(at) or bid.bidder == at.leader:
            return None
        paddles, who = at.paddles, bid.bidder
        if self.has_paddles:
            paddles = paddles if who in paddles else (*paddles, who)
            who = str(paddles.index(who) + 1)
            if self.holders.get(who, bid.bidder) != bid.bidder:
                return None
        if at.bids < len(self.log) and self.log[at.bids] != (at.bids + 1, who, bid.amount):
            return None
        return Standing(at.bids + 1, bid.amount, bid.bidder, False, paddles)

    def contradiction(self, node: Node) -> Verdict:
        at, order = node.standing, _order(node.trail)
        stuck = tuple(self.known[n] for n in self.pending(node.done))
        price = "no price" if at.price is None else f"{at.price} by {at.leader}"
        text = f"After {node.done.bit_count()} of {len(self.known)} answered operations"
        text += f" ({'closed' if at.closed else 'open'}, bids: {at.bids}, {price}), the last of them"
        text += f"{_lines(order[-SHOWN_OF_PREFIX:])}\nnone of these can follow:{_lines(stuck)}"
        if at.bids < len(self.log):
            text += f"\nThe log has next: {self.log[at.bids]}"
        left = (each for n, each in enumerate(self.known) if not (node.done | self.fits_closed) >> n & 1)
        needs_open = next(left, None)
        if needs_open is not None and any(_fits_closed(each.answer) for each in stuck):
            text += f"\nIt cannot have closed before: {needs_open}"
        return Verdict(False, order, stuck, text)


def _windows(known: list[Operation]) -> Iterator[tuple[int, ...]]:
    """For the n-th answered operation: it and the later answered ones that were asked before its answer."""
    by_ask = sorted(range(len(known)), key=lambda n: known[n].asked_at, reverse=True)
    running: dict[int, None] = {}
    for n, operation in enumerate(known):
        while by_ask and known[by_ask[-1]].asked_at <= operation.answered_at:
            running[by_ask.pop()] = None
        yield tuple(running)
        del running[n]


def _distinct(unknown: list[Operation]) -> list[tuple[Operation, Bid]]:
    """The lowest first; of a bidder's equal amounts the first request, because only one can ever be accepted."""
    first: dict[tuple[int, str], tuple[Operation, Bid]] = {}
    for operation in sorted(unknown, key=lambda each: each.asked_at):
        if isinstance(operation.request, Bid):
            bid = operation.request
            first.setdefault((bid.amount, bid.bidder), (operation, bid))
    return [first[each] for each in sorted(first)]


def _fits_closed(answer: Answer) -> bool:
    return isinstance(answer, Log) or answer == Refused("not_open") or (isinstance(answer, Shown) and answer.closed)


def _is_outlived(answer: Answer, bids: int) -> bool:
    """Whether it cannot be given any more once there is one bid more than `bids`."""
    match answer:
        case Accepted(seq):
            return seq <= bids
        case Shown(shown):
            return shown <= bids
        case Log(entries):
            return len(entries) <= bids
    return False


def _order(trail: Trail) -> tuple[Operation, ...]:
    operations = []
    while trail is not None:
        trail, operation = trail
        operations.append(operation)
    return tuple(reversed(operations))
