"""The figures of a load run: which stream showed which revision when, and the result of each bid.

Rules: there is no clock and no I/O here; every moment is in seconds of one monotonic clock, given from outside. A bid
counts from the moment when it was DUE, not from when the client sent it, so that neither a slow server nor a slow
client hides latency. A delivery that shows several bids at once counts from the oldest of them.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import msgspec

from sse_auction.auction.state import State
from sse_auction.auction.version import Version

ANSWER_SECONDS = 10.0  # a bid without an answer after this long has an unknown outcome


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank from above: the least value such that `share` (0 to 1] of `ordered` are not above it."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


class Summary(msgspec.Struct, frozen=True):
    """The number of samples and their percentiles in ms; None when there is no sample."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None


def summary(values: Sequence[float]) -> Summary:
    """The `Summary` of `values`, in any order."""
    if not values:
        return Summary(0)
    ordered = sorted(values)
    marks = (round(percentile(ordered, share), 3) for share in (0.5, 0.9, 0.99, 1.0))
    return Summary(len(ordered), *marks)


def samples() -> "array[float]":
    """An empty series of ms. An array, because a run has millions and a list would need four times the memory."""
    return array("d")


@dataclass(frozen=True, slots=True)
class Taken:
    """An accepted bid of this run: when it was due, and when its bidder got the answer."""

    due: float
    answered: float


@dataclass(slots=True)
class Lot:
    """One auction of the run: the newest state that this process knows, and the bids of this run by revision."""

    guid: str
    state: State | None = None
    newest: Version | None = None
    bids: dict[tuple[str, int], Taken] = field(default_factory=dict)

    @property
    def takes_bids(self) -> bool:
        """Whether a bid may be sent, as far as is known; at the highest possible amount there is no next bid."""
        return self.state is not None and self.state.status == "open" and self.state.next_bid is not None

    def learn(self, state: State) -> None:
        """Take a state from a stream or a reply, unless a newer one is known."""
        if self.state is not None and self.state.tag == state.tag:
            return
        seen = Version.of_tag(state.tag)
        if seen is not None and (self.newest is None or self.newest.is_superseded_by(seen)):
            self.state, self.newest = state, seen


@dataclass(slots=True, eq=False)
class View:
    """The version that one stream shows of its lot; `since` is when it first showed one."""

    lot: Lot
    seen: Version | None = None
    since: float | None = None

    @property
    def is_behind(self) -> bool:
        """Whether a newer state than the shown one is known, or none is shown."""
        newest = self.lot.newest
        if self.seen is None or newest is None:
            return self.seen is None
        return self.seen.epoch != newest.epoch or self.seen.rev < newest.rev


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A stream went from revision `before` to `rev`; the bids behind it are known when they are answered."""

    lot: Lot
    epoch: str
    before: int
    rev: int
    at: float


class Ledger:
    """Matches the states that streams show with the bids that made them.

    `delivery_ms`: from the moment a bid was due until a stream showed it or a newer one, one sample per delivery.
    `staleness_ms`: how long the stream showed an old price after the bidder got the answer; mostly 0.
    """

    def __init__(self) -> None:
        self.delivery_ms = samples()
        self.staleness_ms = samples()
        self.events = 0
        self.regressions = 0
        self.foreign = 0
        self._waiting: list[_Delivery] = []

    def accepted(self, lot: Lot, state: State, due: float, answered: float) -> None:
        """Note that a bid was accepted and made `state`."""
        lot.learn(state)
        seen = Version.of_tag(state.tag)
        if seen is not None:
            lot.bids[seen.epoch, seen.rev] = Taken(due, answered)

    def shown(self, view: View, state: State, at: float) -> None:
        """Note that a stream got `state`. A lower revision of the same epoch is a regression; a page ignores it."""
        self.events += 1
        view.lot.learn(state)
        seen, before = Version.of_tag(state.tag), view.seen
        if seen is None:
            return
        if before is None:
            view.since = at
        elif before.epoch == seen.epoch:
            if seen.rev < before.rev:
                self.regressions += 1
                return
            if seen.rev > before.rev:
                self._waiting.append(_Delivery(view.lot, seen.epoch, before.rev, seen.rev, at))
        view.seen = seen

    def settle(self, now: float) -> None:
        """Turn deliveries into samples when their bids have been answered, or can no longer be answered."""
        oldest: dict[tuple[str, str, int, int], tuple[Taken | None, bool]] = {}
        waiting = []
        for each in self._waiting:
            key = (each.lot.guid, each.epoch, each.before, each.rev)
            if key not in oldest:
                oldest[key] = _oldest(each.lot, each.epoch, each.before, each.rev)
            taken, is_complete = oldest[key]
            if not is_complete and now - each.at <= ANSWER_SECONDS:
                waiting.append(each)
            elif taken is None:
                self.foreign += 1
            else:
                self._sample(taken, each.at)
        self._waiting = waiting

    def finish(self, views: Sequence[View], now: float) -> None:
        """Settle all. A stream that still lacks bids gives one more sample, so that a dead one does not look fast."""
        self.settle(now + 2 * ANSWER_SECONDS)
        for view in views:
            seen, newest = view.seen, view.lot.newest
            if seen is None or newest is None or seen.epoch != newest.epoch:
                continue
            taken, _ = _oldest(view.lot, seen.epoch, seen.rev, newest.rev)
            if taken is not None:
                self._sample(taken, now)

    def _sample(self, taken: Taken, at: float) -> None:
        self.delivery_ms.append((at - taken.due) * 1000)
        self.staleness_ms.append(max(0.0, at - taken.answered) * 1000)


def _oldest(lot: Lot, epoch: str, before: int, rev: int) -> tuple[Taken | None, bool]:
    """(the earliest moments of the run's bids in revisions (before, rev], whether these are all the run's)."""
    ours = [taken for each in range(before + 1, rev + 1) if (taken := lot.bids.get((epoch, each)))]
    is_complete = len(ours) == rev - before
    if not ours:
        return None, is_complete
    return Taken(min(taken.due for taken in ours), min(taken.answered for taken in ours)), is_complete


@dataclass(slots=True)
class StreamCounts:
    """The results of the streams: `ends` counts reasons, `opening_ms` has the time that each opening took."""

    open: int = 0
    opened: int = 0
    reconnects: int = 0
    busy: int = 0
    not_live: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    opening_ms: "array[float]" = field(default_factory=samples)

    @property
    def done(self) -> int:
        """Streams that ended for good: their auction is over, or the service refused them."""
        return self.ends["closed"] + self.ends["refused"]

    @property
    def drops(self) -> int:
        """Open streams that ended before their auction: cut, silent or ended by the server."""
        return self.ends["ended"] + self.ends["lost"] + self.ends["silent"]


@dataclass(slots=True)
class BidCounts:
    """The results of the bids. Refusals after a race are answers; failures and unknown outcomes are not."""

    due: int = 0
    accepted: int = 0
    unknown: int = 0
    unsent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    latency_ms: "array[float]" = field(default_factory=samples)
