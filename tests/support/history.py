"""What fault-injection tests record of one auction: each request, its time and its answer.

Rule: values only; nothing here knows the bidding rules. Money is in minor units, moments are seconds by one clock.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Bid:
    """The same bidder and key may ask again for the same amount: that is one bid."""

    bidder: str
    amount: int
    key: str


@dataclass(frozen=True, slots=True)
class Read:
    """A poll that the store answers."""


@dataclass(frozen=True, slots=True)
class ReadLog:
    """The whole of the log."""


@dataclass(frozen=True, slots=True)
class Accepted:
    seq: int
    price: int


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Literal["too_low", "already_leading", "not_open"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or one of unknown outcome: the effect comes at any time after the request, or never."""


@dataclass(frozen=True, slots=True)
class NotDone:
    """An answer that promises that there is no effect, now or later."""


@dataclass(frozen=True, slots=True)
class Shown:
    bids: int
    price: int | None
    closed: bool


@dataclass(frozen=True, slots=True)
class Log:
    """(seq, who, price) of each bid.

    `who` is the bidder, or, in all logs of a history, the paddle: "1" is the first bidder, and so on.
    """

    entries: tuple[tuple[int, str, int], ...]


Request: TypeAlias = Bid | Read | ReadLog
Answer: TypeAlias = Accepted | Refused | Unknown | NotDone | Shown | Log


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and its answer, both times by one clock; the end of an `Unknown` one does not count."""

    asked_at: float
    answered_at: float
    request: Request
    answer: Answer

    def __str__(self) -> str:
        return f"[{self.asked_at:g}, {self.answered_at:g}] {self.request} -> {self.answer}"


def by_key(history: Iterable[Operation]) -> Iterator[list[Operation]]:
    """The operations that may have had an effect or saw one; asks of one key together."""
    bids: dict[tuple[str, str], list[Operation]] = {}
    for operation in history:
        request, answer = operation.request, operation.answer
        if operation.answered_at < operation.asked_at:
            raise ValueError(f"answered before it was asked: {operation}")
        if isinstance(answer, NotDone):
            continue
        if isinstance(request, Bid):
            asks = bids.setdefault((request.bidder, request.key), [])
            asks.append(operation)
            if asks[0].request != request:
                raise ValueError(f"a key for two amounts: {asks[0]} and {operation}")
        elif not isinstance(answer, Unknown):
            yield [operation]
    yield from bids.values()


def one_bid(asks: list[Operation]) -> Operation | None:
    """All asks as one operation; None if their answers differ."""
    answered = [each for each in asks if not isinstance(each.answer, Unknown)]
    asked_at = min(each.asked_at for each in asks)
    if not answered:
        return replace(asks[0], asked_at=asked_at, answered_at=inf)
    if any(each.answer != answered[0].answer for each in answered):
        return None
    return replace(answered[0], asked_at=asked_at, answered_at=min(each.answered_at for each in answered))
