"""The checker of histories: it accepts each history of one auction, and finds every planted fault."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import inf
from random import Random

import pytest

from sse_auction.auction.increments import Increments
from tests.support.history import (
    Accepted,
    Answer,
    Bid,
    Log,
    NotDone,
    Operation,
    Read,
    ReadLog,
    Refused,
    Request,
    Shown,
    Unknown,
)
from tests.support.linearizability import Verdict, check

START_PRICE = 10
INCREMENTS = Increments(((0, 2), (100, 5)))
SEEDS = range(300)


def verdict_on(history: list[Operation]) -> Verdict:
    return check(history, START_PRICE, INCREMENTS)


@dataclass
class Auction:
    """Decides as the service does: a key's first answer is stored and given again."""

    log: list[tuple[str, int]] = field(default_factory=list)
    closed: bool = False
    stored: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def answer(self, request: Request) -> Answer:
        match request:
            case Bid(bidder, _, key):
                if (bidder, key) not in self.stored:
                    self.stored[bidder, key] = self.decide(request)
                return self.stored[bidder, key]
            case Read():
                return Shown(len(self.log), self.log[-1][1] if self.log else None, self.closed)
            case ReadLog():
                return Log(tuple((seq, bidder, price) for seq, (bidder, price) in enumerate(self.log, 1)))

    def next_bid(self) -> int:
        return self.log[-1][1] + INCREMENTS.step(self.log[-1][1]) if self.log else START_PRICE

    def decide(self, bid: Bid) -> Answer:
        if self.closed:
            return Refused("not_open")
        if bid.amount < self.next_bid():
            return Refused("too_low")
        if self.log and self.log[-1][0] == bid.bidder:
            return Refused("already_leading")
        return self.accept(bid)

    def accept(self, bid: Bid) -> Accepted:
        self.log.append((bid.bidder, bid.amount))
        return Accepted(len(self.log), bid.amount)


@dataclass
class Recording:
    """Clients that ask an auction at the same time; every effect lies between its request and its answer."""

    rng: Random
    auction: Auction = field(default_factory=Auction)
    clients: int = 6
    length: int = 60
    odds_of_silence: float = 0.08
    history: list[Operation] = field(default_factory=list)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    scheduled: int = 0
    now: float = 0.0
    asked: int = 0

    def run(self) -> list[Operation]:
        for number in range(self.clients):
            self.after(self.rng.random(), partial(self.ask, f"b{number}", None))
        if self.rng.random() < 0.6:
            self.after(self.length / self.clients * self.rng.uniform(1, 3), self.close)
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            event()
        self.history.append(Operation(self.now + 1, self.now + 2, ReadLog(), self.auction.answer(ReadLog())))
        return self.history

    def after(self, delay: float, event: Callable[[], None]) -> None:
        self.scheduled += 1
        heapq.heappush(self.events, (self.now + delay, self.scheduled, event))

    def close(self) -> None:
        self.auction.closed = True

    def ask(self, name: str, again: Bid | None) -> None:
        """One request of a client, which then continues."""
        if self.asked >= self.length:
            return
        self.asked += 1
        rng, asked_at, request = self.rng, self.now, again or self.next_request(name)
        delay, way_back = rng.expovariate(1), rng.expovariate(2)
        fate = rng.random()
        if fate < self.odds_of_silence:
            self.history.append(Operation(asked_at, inf, request, Unknown()))
            if rng.random() < 0.6:  # it arrives, perhaps long after the client gave up
                self.after(delay * 5, lambda: self.drop(request))
        elif fate < self.odds_of_silence + 0.03:
            self.history.append(Operation(asked_at, asked_at + delay + way_back, request, NotDone()))
        else:
            self.after(delay, lambda: self.arrive(asked_at, way_back, request))
        asks_again = isinstance(request, Bid) and rng.random() < (0.5 if fate < self.odds_of_silence else 0.1)
        bid = request if asks_again and isinstance(request, Bid) else None
        self.after(delay + way_back + rng.expovariate(2), lambda: self.ask(name, bid))

    def next_request(self, name: str) -> Request:
        if self.rng.random() < 0.4:
            return Read()
        amount = self.auction.next_bid() + self.rng.choice((-2, 0, 0, 0, 1, 2, 5))
        return Bid(name, amount, f"k{self.asked}")

    def drop(self, request: Request) -> None:
        self.auction.answer(request)

    def arrive(self, asked_at: float, way_back: float, request: Request) -> None:
        answer = self.auction.answer(request)
        self.history.append(Operation(asked_at, self.now + way_back, request, answer))


def recorded(seed: int) -> list[Operation]:
    return Recording(Random(seed)).run()


def without_log(history: list[Operation]) -> list[Operation]:
    return [each for each in history if not isinstance(each.request, ReadLog)]


def in_paddles(log: Log) -> Log:
    paddles = {who: str(n) for n, who in enumerate(dict.fromkeys(who for _, who, _ in log.entries), 1)}
    return Log(tuple((seq, paddles[who], price) for seq, who, price in log.entries))


def with_paddles(history: list[Operation]) -> list[Operation]:
    return [replace(each, answer=in_paddles(each.answer)) if isinstance(each.answer, Log) else each for each in history]


# --- correct histories ---------------------------------------------------------------------------------------


def assert_explains(order: tuple[Operation, ...]) -> None:
    """Replay an order in a new auction, and compare it with the clock."""
    auction = Auction()
    for operation in order:
        if operation.answer == Refused("not_open") or (isinstance(operation.answer, Shown) and operation.answer.closed):
            auction.closed = True
        answer = auction.answer(operation.request)
        if isinstance(operation.answer, Unknown):
            assert isinstance(answer, Accepted)
        else:
            assert answer == operation.answer
    first_end = inf
    for operation in reversed(order):
        assert operation.asked_at <= first_end
        first_end = min(first_end, operation.answered_at)


@pytest.mark.parametrize("form", [list, without_log, with_paddles])
def test_the_answers_of_one_auction_are_explained(form: Callable[[list[Operation]], list[Operation]]) -> None:
    for seed in SEEDS:
        history = form(recorded(seed))
        verdict = verdict_on(history)
        assert verdict.ok, f"seed {seed}: {verdict.contradiction}"
        assert verdict.contradiction == ""
        if form is not with_paddles:
            assert_explains(verdict.order)


def test_the_recorded_histories_have_all_there_is() -> None:
    answers = [each.answer for seed in SEEDS for each in recorded(seed)]
    kinds = {answer.reason if isinstance(answer, Refused) else type(answer).__name__ for answer in answers}
    assert kinds == {
        "Accepted", "too_low", "already_leading", "not_open", "Unknown", "NotDone", "Shown", "Log"
    }  # fmt: skip


@pytest.mark.parametrize("form", [list, without_log])
def test_a_long_history_of_many_clients_is_explained(form: Callable[[list[Operation]], list[Operation]]) -> None:
    history = form(Recording(Random(1), clients=40, length=3000, odds_of_silence=0.035).run())
    assert sum(isinstance(each.answer, Unknown) for each in history) > 90
    verdict = verdict_on(history)
    assert verdict.ok, verdict.contradiction


def test_a_long_history_with_a_fault_is_not_explained() -> None:
    history = Recording(Random(1), clients=40, length=3000, odds_of_silence=0.035).run()
    for form in (list, without_log):
        assert not verdict_on(form(with_an_old_price(history, Random(1)))).ok


# --- against every possible order ----------------------------------------------------------------------------


def is_explained_by_some_order(history: list[Operation]) -> bool:
    """The definition itself: try every order of all requests, with closing and silence anywhere between them."""

    def explained(left: list[Operation], auction: Auction) -> bool:
        if all(isinstance(each.answer, Unknown) for each in left):
            return True
        if not auction.closed and explained(left, Auction(auction.log, True, auction.stored)):
            return True
        first_end = min(each.answered_at for each in left if not isinstance(each.answer, Unknown))
        for operation in left:
            if operation.asked_at <= first_end:
                after = Auction(list(auction.log), auction.closed, dict(auction.stored))
                answer = after.answer(operation.request)
                fitting = {answer, in_paddles(answer) if isinstance(answer, Log) else answer, Unknown()}
                rest = [each for each in left if each is not operation]
                if operation.answer in fitting and explained(rest, after):
                    return True
        return False

    return explained([each for each in history if not isinstance(each.answer, NotDone)], Auction())


def distorted(history: list[Operation], rng: Random) -> list[Operation]:
    """One answer changed or moved: some of these are still right."""
    changed = list(history)
    at = rng.randrange(len(history))
    operation = changed[at]
    answer = rng.choice([each.answer for each in history if type(each.request) is type(operation.request)])
    sooner = rng.uniform(operation.asked_at, min(operation.answered_at, operation.asked_at + 3))
    moved = rng.choice((replace(operation, answered_at=sooner), replace(operation, answer=answer)))
    if isinstance(operation.answer, Log):  # one entry by another, or none
        cut, (seq, _, price) = operation.answer.entries[:-1], (operation.answer.entries or ((1, "b0", 10),))[-1]
        other = rng.choice(("b0", "b1", "b2", "1", "2"))
        moved = replace(operation, answer=Log(rng.choice((cut, (*cut, (seq, other, price))))))
    changed[at] = moved if rng.random() < 0.9 else replace(operation, answer=Refused("not_open"))
    return changed


def test_it_agrees_with_a_search_of_every_order() -> None:
    verdicts = []
    for seed in range(1500):
        rng = Random(seed)
        history = Recording(rng, clients=3, length=6, odds_of_silence=0.25).run()
        form = rng.choice((list, without_log, with_paddles))
        history = form(history)
        for _ in range(rng.choice((0, 1, 1, 2))):
            history = distorted(history, rng)
        verdicts.append(verdict_on(history).ok)
        assert verdicts[-1] == is_explained_by_some_order(history), f"seed {seed}: {history}"
    assert 300 < sum(verdicts) < 1200


# --- planted faults ------------------------------------------------------------------------------------------


def with_a_bid_less_in_the_log(history: list[Operation], rng: Random) -> list[Operation]:
    log = next(each for each in history if isinstance(each.answer, Log))
    seq = rng.choice([each.answer.seq for each in history if isinstance(each.answer, Accepted)])
    assert isinstance(log.answer, Log)
    kept = [entry for entry in log.answer.entries if entry[0] != seq]
    shorter = Log(tuple((number, who, price) for number, (_, who, price) in enumerate(kept, 1)))
    return [replace(each, answer=shorter) if each is log else each for each in history]


def with_an_old_price(history: list[Operation], rng: Random) -> list[Operation]:
    """A read after another one shows a bid less."""
    log = next(each.answer for each in history if isinstance(each.answer, Log))
    shown = [(each.answered_at, each.answer) for each in history if isinstance(each.answer, Shown) and each.answer.bids]
    seen_at, seen = rng.choice(shown)
    price = log.entries[seen.bids - 2][2] if seen.bids > 1 else None
    at = seen_at + rng.random() / 100 + 1e-6
    return [*history, Operation(at, at + rng.random(), Read(), Shown(seen.bids - 1, price, closed=False))]


@pytest.mark.parametrize("plant", [with_a_bid_less_in_the_log, with_an_old_price])
def test_a_fault_in_a_recorded_history_is_found(plant: Callable[[list[Operation], Random], list[Operation]]) -> None:
    for seed in SEEDS:
        history = plant(recorded(seed), Random(seed))
        for form in (list, with_paddles) if plant is with_a_bid_less_in_the_log else (list, without_log):
            verdict = verdict_on(form(history))
            assert not verdict.ok, f"seed {seed}"
            assert verdict.stuck
            assert "none of these can follow" in verdict.contradiction


class Forgetful(Auction):
    """Loses its third bid, like a store that fails over before its replica has it, and continues."""

    has_lost = False

    def accept(self, bid: Bid) -> Accepted:
        answer = super().accept(bid)
        if answer.seq == 3 and not self.has_lost:
            self.has_lost = True
            self.log.pop()
        return answer


class Doubling(Auction):
    """Counts its third bid twice, like a service that repeats a command without a key."""

    def accept(self, bid: Bid) -> Accepted:
        answer = super().accept(bid)
        return super().accept(bid) if answer.seq == 3 else answer


@pytest.mark.parametrize("faulty", [Forgetful, Doubling])
def test_a_faulty_auction_is_found(faulty: type[Auction]) -> None:
    for seed in SEEDS:
        history = Recording(Random(seed), faulty(), odds_of_silence=0.0).run()
        third = any(isinstance(each.answer, Accepted) and each.answer.seq >= 3 for each in history)
        assert verdict_on(history).ok is not third, f"seed {seed}"


def test_a_faulty_auction_is_found_among_bids_without_an_answer() -> None:
    for seed in SEEDS:
        history = Recording(Random(seed), Doubling()).run()
        log = next(each.answer.entries for each in history if isinstance(each.answer, Log))
        is_doubled = any(price == next_price for (_, _, price), (_, _, next_price) in pairwise(log))
        assert verdict_on(history).ok is not is_doubled, f"seed {seed}"


# --- by hand -------------------------------------------------------------------------------------------------


def bid(start: float, end: float, bidder: str, amount: int, answer: Answer, key: str = "k") -> Operation:
    return Operation(start, end, Bid(bidder, amount, key), answer)


def read(start: float, end: float, bids: int, price: int | None, *, closed: bool = False) -> Operation:
    return Operation(start, end, Read(), Shown(bids, price, closed))


def log(start: float, *entries: tuple[int, str, int]) -> Operation:
    return Operation(start, start + 1, ReadLog(), Log(entries))


TOO_LOW, LEADING, NOT_OPEN = Refused("too_low"), Refused("already_leading"), Refused("not_open")
ANN = bid(1, 2, "ann", 10, Accepted(1, 10))
LOST = bid(3, inf, "bob", 12, Unknown())

RIGHT = {
    "nothing": [],
    "a read during a bid shows the price before": [bid(1, 4, "ann", 10, Accepted(1, 10)), read(2, 3, 0, None)],
    "a read during a bid shows it": [bid(1, 4, "ann", 10, Accepted(1, 10)), read(2, 3, 1, 10)],
    "answers cross": [bid(1, 9, "bob", 12, Accepted(2, 12)), bid(2, 8, "ann", 10, Accepted(1, 10))],
    "a read that ends as a bid begins": [read(0, 1, 0, None), ANN],
    "a leader's low bid is low first": [ANN, bid(3, 4, "ann", 11, TOO_LOW, "l")],
    "a leader's high bid": [ANN, bid(3, 4, "ann", 12, LEADING, "l")],
    "a lost bid never happens": [ANN, LOST, read(4, 5, 1, 10)],
    "a lost bid shows up": [ANN, LOST, read(4, 5, 1, 10), read(6, 7, 2, 12), log(8, (1, "ann", 10), (2, "bob", 12))],
    "a lost bid shows by another's refusal": [ANN, LOST, bid(8, 9, "cid", 12, TOO_LOW)],
    "a lost bid shows by its bidder's refusal": [ANN, LOST, bid(8, 9, "bob", 14, LEADING, "l")],
    "a lost bid explains a number": [ANN, LOST, bid(4, 5, "cid", 14, Accepted(3, 14))],
    "a lost bid counts after its client asked again": [ANN, LOST, bid(7, 8, "bob", 12, Accepted(2, 12))],
    "a key asked twice": [ANN, bid(3, 4, "bob", 12, Accepted(2, 12)), bid(5, 6, "bob", 12, Accepted(2, 12))],
    "a refusal asked again": [ANN, bid(3, 4, "bob", 10, TOO_LOW), bid(5, 6, "bob", 10, TOO_LOW)],
    "a key asked after the end": [ANN, read(3, 4, 1, 10, closed=True), bid(5, 6, "ann", 10, Accepted(1, 10))],
    "a promise that nothing happened, then the bid": [bid(0, 0.5, "ann", 10, NotDone()), ANN],
    "an end that no client sees": [ANN, bid(3, 4, "bob", 12, NOT_OPEN), log(5, (1, "ann", 10))],
    "an end during a bid": [bid(1, 4, "ann", 10, NOT_OPEN), bid(2, 3, "bob", 10, Accepted(1, 10))],
    "paddles": [ANN, LOST, log(8, (1, "1", 10), (2, "2", 12))],
    "a poll that failed": [ANN, Operation(3, 4, Read(), Unknown()), Operation(3, 4, Read(), NotDone())],
}  # fmt: skip

WRONG = {
    "a read after a bid shows the price before": [ANN, read(3, 4, 0, None)],
    "a read before a bid shows it": [read(0, 0.5, 1, 10), ANN],
    "another price with the same number": [ANN, read(3, 4, 1, 11)],
    "two winners of one number": [bid(1, 4, "ann", 10, Accepted(1, 10)), bid(2, 3, "bob", 10, Accepted(1, 10))],
    "less than the start price": [bid(1, 2, "ann", 9, Accepted(1, 9))],
    "less than the increment": [ANN, bid(3, 4, "bob", 11, Accepted(2, 11))],
    "another price than that of the bid": [bid(1, 2, "ann", 10, Accepted(1, 11))],
    "the leader outbids the own bid": [ANN, bid(3, 4, "ann", 12, Accepted(2, 12), "l")],
    "already leading, of a bidder that does not lead": [ANN, bid(3, 4, "bob", 12, LEADING)],
    "already leading without a bid": [bid(1, 2, "ann", 10, LEADING)],
    "too low that is not": [ANN, bid(3, 4, "bob", 12, TOO_LOW)],
    "not open, then accepted": [bid(1, 2, "ann", 10, NOT_OPEN), bid(3, 4, "bob", 10, Accepted(1, 10))],
    "not open, then too low": [ANN, bid(3, 4, "bob", 12, NOT_OPEN), bid(5, 6, "bob", 10, TOO_LOW, "l")],
    "closed, then open": [ANN, read(3, 4, 1, 10, closed=True), read(5, 6, 1, 10)],
    "closed, then a lost bid": [ANN, LOST, read(4, 5, 1, 10, closed=True), read(6, 7, 2, 12, closed=True)],
    "a number is left out": [ANN, bid(3, 4, "bob", 14, Accepted(3, 14))],
    "a lost bid shows, and no more": [ANN, LOST, read(4, 5, 2, 12), read(6, 7, 1, 10)],
    "a lost bid shows before it was asked": [ANN, LOST, read(2.2, 2.4, 2, 12)],
    "a lost bid counts twice": [ANN, LOST, log(8, (1, "ann", 10), (2, "bob", 12), (3, "bob", 12))],
    "a promise that nothing happened, and it did": [ANN, replace(LOST, answer=NotDone()), read(4, 5, 2, 12)],
    "a key has two answers": [ANN, bid(3, 4, "bob", 12, Accepted(2, 12)), bid(5, 6, "bob", 12, LEADING)],
    "a key counts twice": [ANN, bid(3, 4, "bob", 12, Accepted(2, 12)), bid(5, 6, "bob", 12, Accepted(3, 12))],
    "a refused key is decided anew": [bid(0, 0.5, "bob", 9, TOO_LOW), bid(7, 8, "bob", 9, NOT_OPEN)],
    "the log has a stranger": [ANN, log(3, (1, "bob", 10))],
    "the log has one bid more": [ANN, log(3, (1, "ann", 10), (2, "bob", 12))],
    "the log leaves a number out": [ANN, LOST, log(4, (1, "ann", 10), (3, "bob", 12))],
    "one paddle for two": [ANN, LOST, log(8, (1, "1", 10), (2, "1", 12))],
    "paddles out of order": [ANN, LOST, log(8, (1, "2", 10), (2, "1", 12))],
    "two logs": [ANN, log(3, (1, "ann", 10)), log(5)],
}  # fmt: skip


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_right(history: list[Operation]) -> None:
    verdict = verdict_on(history)
    assert verdict.ok, verdict.contradiction


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_wrong(history: list[Operation]) -> None:
    verdict = verdict_on(history)
    assert not verdict.ok
    assert verdict.stuck
    assert str(verdict.stuck[0]) in verdict.contradiction


def test_a_contradiction_names_what_went_before_and_what_cannot_follow() -> None:
    stale = read(3, 4, 0, None)
    verdict = verdict_on([ANN, stale, read(5, 6, 1, 10)])
    assert (verdict.order, verdict.stuck) == ((ANN,), (stale,))
    assert verdict.contradiction == (
        "After 1 of 3 answered operations (open, bids: 1, 10 by ann), the last of them\n"
        "  [1, 2] Bid(bidder='ann', amount=10, key='k') -> Accepted(seq=1, price=10)\n"
        "none of these can follow:\n"
        "  [3, 4] Read() -> Shown(bids=0, price=None, closed=False)"
    )


@pytest.mark.parametrize(
    "history", [[replace(ANN, answered_at=0)], [ANN, bid(3, 4, "ann", 12, TOO_LOW)]], ids=["time", "key"]
)
def test_no_client_records_this(history: list[Operation]) -> None:
    with pytest.raises(ValueError, match=r"before it was asked|two amounts"):
        verdict_on(history)
