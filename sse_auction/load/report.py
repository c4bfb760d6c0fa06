"""The report of a load run and its verdict; pure, made from the figures.

Rule: some findings fail any run, even without bounds: a revision that went back, and at the end a stream that is down
or does not show the last price, or a service that does not answer. A bound on a figure without samples fails too.
"""

from typing import Literal

import msgspec

from sse_auction.load.figures import Summary

Phase = Literal["ramp", "full load", "last answers"]

# Above these the client, rather than the service, may have made the figures.
MAX_LAG_MS = 25.0
MAX_CPU_SHARE = 0.85


class Bounds(msgspec.Struct, frozen=True):
    """The upper bounds for a run; None: no bound. Times in ms."""

    delivery_p99: float | None = None
    staleness_p99: float | None = None
    bid_p99: float | None = None
    drops: int | None = None
    errors: int | None = None


class Miss(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure above its bound; `value` None: it was not measured. `said` is a sentence that replaces it."""

    figure: str
    value: float | None
    bound: float
    unit: str = ""
    said: str = ""

    def __str__(self) -> str:
        if self.said:
            return self.said
        if self.value is None:
            return f"{self.figure} was not measured; at most {self.bound:g}{self.unit} is allowed"
        return f"{self.figure} is {self.value:g}{self.unit}; at most {self.bound:g}{self.unit} is allowed"


class Streams(msgspec.Struct, frozen=True):
    """`ends` counts the ends of connections and attempts by reason; `behind` and `down` are counted at the end.

    `behind` streams did not show the last price; `down` streams were neither open nor over.
    """

    wanted: int
    opened: int
    open_at_end: int
    drops: int
    reconnects: int
    busy: int
    not_live: int
    ends: dict[str, int]
    events: int
    foreign: int
    regressions: int
    behind: int
    down: int
    opening_ms: Summary


class Bids(msgspec.Struct, frozen=True):
    """`refused` and `failed` by code; `unknown`: no answer, outcome unknown; `unsent`: too many were in flight."""

    bidders: int
    due: int
    accepted: int
    refused: dict[str, int]
    failed: dict[str, int]
    unknown: int
    unsent: int
    latency_ms: Summary


class ClientLimits(msgspec.Struct, frozen=True):
    """The load on this process: `cpu_share` of a core (p90 of the seconds); `limits` are sentences."""

    lag_ms: Summary
    cpu_share: float
    was_the_limit: bool
    limits: list[str]


class Report(msgspec.Struct, frozen=True):
    """All figures of a run. `stale_share` is a share of the time that streams were watched."""

    url: str
    auctions: list[str]
    seconds: float
    interrupted: bool
    answered_at_end: bool
    streams: Streams
    bids: Bids
    delivery_ms: Summary
    staleness_ms: Summary
    stale_share: float
    client: ClientLimits
    misses: list[Miss] = []

    @property
    def errors(self) -> int:
        """Bids without a proper answer, and streams that could not be opened."""
        bids = sum(self.bids.failed.values()) + self.bids.unknown + self.bids.unsent
        return bids + self.streams.ends.get("not connected", 0) + self.streams.ends.get("refused", 0)


class Progress(msgspec.Struct, frozen=True):
    """The progress of a run: totals, and the percentiles of the last second."""

    phase: Phase
    elapsed: float
    total: float
    streams_wanted: int
    streams_open: int
    drops: int
    reconnects: int
    bids_due: int
    bids_accepted: int
    errors: int
    delivery_ms: Summary
    bid_ms: Summary
    lag_ms: Summary
    cpu_share: float


def client_limits(lag: Summary, cpu_share: float) -> ClientLimits:
    """Whether this process limited the run, by its event loop's lag and its share of a core."""
    limits = []
    if lag.p99 is not None and lag.p99 > MAX_LAG_MS:
        limits.append(f"its event loop was {lag.p99:.0f} ms late (p99; {MAX_LAG_MS:.0f} is too much)")
    if cpu_share > MAX_CPU_SHARE:
        limits.append(f"it used {cpu_share:.0%} of a core ({MAX_CPU_SHARE:.0%} is too much)")
    return ClientLimits(lag, round(cpu_share, 3), bool(limits), limits)


def judged(report: Report, bounds: Bounds) -> Report:
    """`report` with its misses. The end of a run that was interrupted is not judged."""
    streams = report.streams
    checks = [Miss("revisions that went back", streams.regressions, 0)]
    if not report.interrupted:
        checks += [
            Miss("streams without the last price", streams.behind, 0),
            Miss("streams that were down in the end", streams.down, 0),
            Miss("the end", int(not report.answered_at_end), 0, said=f"{report.url} did not answer in the end"),
        ]
    checks += [
        Miss(figure, value, bound, unit)
        for figure, value, bound, unit in (
            ("delivery p99", report.delivery_ms.p99, bounds.delivery_p99, " ms"),
            ("staleness p99", report.staleness_ms.p99, bounds.staleness_p99, " ms"),
            ("bid p99", report.bids.latency_ms.p99, bounds.bid_p99, " ms"),
            ("drops", streams.drops, bounds.drops, ""),
            ("errors", report.errors, bounds.errors, ""),
        )
        if bound is not None
    ]
    misses = [each for each in checks if each.value is None or each.value > each.bound]
    return msgspec.structs.replace(report, misses=misses)
