"""From the logs of writes and deliveries to figures: how late, how stale, how complete.

Definitions, for one watcher that had shown write j of its auction when write k (k > j) reached it at time t:
- staleness of that delivery: t minus the time of write j+1, the OLDEST write newer than what it showed. A server may
  skip prices; for how long it showed an old one is what counts.
- age of that delivery: t minus the time of write k, the price that came. How old a price is when it arrives; a server
  that skips prices to send the newest one looks good here, and not above, where the pause before counts too.
- a watcher that never got the last price gives one more sample: the end of the log minus the time of the oldest write
  that it lacks. So a server that stops delivering does not look fresh.
- latency to the last watcher of write k: until every watcher of the auction showed k or a higher price.
A delivery of a price that is not above what the watcher showed is a repeat, and is only counted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Deliveries:
    """Every logged delivery, in order of watcher and time, repeats left out, with what the watcher showed before."""

    at: Floats
    watcher: Ints
    price: Ints
    before: Ints
    repeats: int
    last_shown: Ints  # per watcher, at the end of the log


def read_deliveries(path: Path, shown: list[int]) -> Deliveries:
    """A generator's log; `shown` is what each watcher showed when it began."""
    count = path.stat().st_size // 16
    with path.open("rb") as file:
        at = np.fromfile(file, np.float64, count)
        watcher = np.fromfile(file, np.uint32, count).astype(np.int64)
        price = np.fromfile(file, np.uint32, count).astype(np.int64)
    return in_order(at, watcher, price, shown)


def in_order(at: Floats, watcher: Ints, price: Ints, shown: list[int]) -> Deliveries:
    """Sorts by watcher, keeping the order of arrival, and finds what each delivery replaced."""
    base = np.array(shown, dtype=np.int64)
    order = np.argsort(watcher, kind="stable")
    at, watcher, price = at[order], watcher[order], price[order]
    # The highest price so far per watcher: a running maximum over keys in which a later watcher outweighs any price.
    weight = int(max(price.max(initial=0), base.max(initial=0))) + 1
    keys = watcher * weight + np.maximum(price, base[watcher])
    running = np.maximum.accumulate(keys) - watcher * weight if len(keys) else keys
    is_first = np.ones(len(watcher), dtype=bool)
    is_first[1:] = watcher[1:] != watcher[:-1]
    before = np.empty_like(running)
    before[1:] = running[:-1]
    before[is_first] = base[watcher[is_first]]
    is_news = price > before
    last_shown = base.copy()
    np.maximum.at(last_shown, watcher, price)
    return Deliveries(at[is_news], watcher[is_news], price[is_news], before[is_news], int((~is_news).sum()), last_shown)


def staleness(deliveries: Deliveries, writes: Floats, first: int, ended_at: float) -> tuple[Floats, Ints]:
    """Seconds, and the auction of each sample. `writes[auction, n]` is the time of its write `first + n`."""
    auctions, count = writes.shape
    auction = deliveries.watcher % auctions
    oldest = np.clip(deliveries.before + 1 - first, 0, count - 1)
    samples = deliveries.at - writes[auction, oldest]
    behind = np.flatnonzero(deliveries.last_shown < first + count - 1)
    lacking = np.clip(deliveries.last_shown[behind] + 1 - first, 0, count - 1)
    never = ended_at - writes[behind % auctions, lacking]
    return np.concatenate([samples, never]), np.concatenate([auction, behind % auctions])


def ages(deliveries: Deliveries, writes: Floats, first: int) -> Floats:
    """Seconds, of each delivery of a price that was written in this window."""
    auctions, count = writes.shape
    index = deliveries.price - first
    valid = (index >= 0) & (index < count)
    found: Floats = deliveries.at[valid] - writes[deliveries.watcher[valid] % auctions, index[valid]]
    return found


def latency_to_last(deliveries: Deliveries, writes: Floats, first: int, ended_at: float) -> Floats:
    """Seconds per write, auctions one after the other, until all its watchers showed it or a higher one."""
    auctions, count = writes.shape
    watchers = len(deliveries.last_shown)
    shown_at = np.full((watchers, count), ended_at)
    index = deliveries.price - first
    valid = (index >= 0) & (index < count)
    shown_at[deliveries.watcher[valid], index[valid]] = deliveries.at[valid]
    shown_at = np.minimum.accumulate(shown_at[:, ::-1], axis=1)[:, ::-1]
    worst = np.full((auctions, count), -np.inf)
    np.maximum.at(worst, np.arange(watchers) % auctions, shown_at)
    latencies: Floats = (worst - writes)[np.isfinite(worst)]
    return latencies


def figures(deliveries: Deliveries, writes: Floats, first: int, ended_at: float) -> dict[str, float]:
    """Milliseconds, and counts."""
    samples, auction = staleness(deliveries, writes, first, ended_at)
    to_last = latency_to_last(deliveries, writes, first, ended_at)
    medians = auction_medians(samples, auction, writes.shape[0])
    age = ages(deliveries, writes, first)
    return {
        "age_p50_ms": percentile_ms(age, 50),
        "age_p99_ms": percentile_ms(age, 99),
        "stale_p50_ms": percentile_ms(samples, 50),
        "stale_p99_ms": percentile_ms(samples, 99),
        "last_p50_ms": percentile_ms(to_last, 50),
        "last_p99_ms": percentile_ms(to_last, 99),
        "final_ms": float(to_last.reshape(writes.shape)[:, -1].max() * 1000) if len(to_last) == writes.size else np.inf,
        "worst_ms": float(medians.max() * 1000),
        "worst_auction": float(medians.max() / np.median(medians)),
        "repeats": float(deliveries.repeats),
        "behind": float((deliveries.last_shown < first + writes.shape[1] - 1).sum()),
    }


def auction_medians(samples: Floats, auction: Ints, auctions: int) -> Floats:
    """The median staleness of each auction that has samples."""
    order = np.argsort(auction, kind="stable")
    parts = np.split(samples[order], np.searchsorted(auction[order], np.arange(1, auctions)))
    return np.array([np.median(part) for part in parts if len(part)])


def percentile_ms(seconds: Floats, percent: float) -> float:
    """Nearest rank from above: never a value better than was measured."""
    return float(np.percentile(seconds, percent, method="higher") * 1000) if len(seconds) else float("nan")


def shown_over_time(at: Floats, price: Ints, writes: Floats, first: int, moments: Floats) -> Floats:
    """How stale one reader is at each moment (seconds): the moment minus the oldest write that it does not show yet."""
    shown = np.concatenate([[first - 1], np.maximum.accumulate(price)])[np.searchsorted(at, moments, side="right")]
    lacking = shown + 1 - first
    known = np.clip(lacking, 0, len(writes) - 1)
    waits = (lacking < len(writes)) & (writes[known] <= moments)
    return np.where(waits, moments - writes[known], 0.0)


def read_slow(path: Path) -> list[tuple[Floats, Ints]]:
    """The log of slow readers: when, and which price, for each of them."""
    readers: list[tuple[Floats, Ints]] = []
    with path.open("rb") as file:
        while size := file.read(8):
            count = int.from_bytes(size, "little")
            at = np.fromfile(file, np.float64, count)
            readers.append((at, np.fromfile(file, np.uint32, count).astype(np.int64)))
    return readers


def read_writes(path: Path, auctions: int) -> Floats:
    """A writer's log as one row per auction; writes go round the auctions in turn."""
    times: Any = np.fromfile(path, np.float64)
    return np.ascontiguousarray(times.reshape(-1, auctions).T)
