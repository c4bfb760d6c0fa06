"""The metrics of the service, for Prometheus. With several workers the values of all workers are combined.

A leaf: it imports nothing from this project, so that every layer may count.
"""

import os
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import REGISTRY

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's variable for the shared directory

STREAMS = Gauge("sse_auction_streams", "Open streams", multiprocess_mode="livesum")
ROOMS = Gauge("sse_auction_rooms", "Watched auctions", multiprocess_mode="livesum")
STREAMS_BEHIND = Gauge(
    "sse_auction_streams_behind", "Streams with data that the viewer has not read yet", multiprocess_mode="livesum"
)
STREAMS_ENDED = Counter(
    "sse_auction_streams_ended_total",
    "Streams that ended, by reason: closed, life, draining, failed, stalled, gone",
    ["reason"],
)
STREAMS_REFUSED = Counter(
    "sse_auction_streams_refused_total", "Streams that got `busy` instead of a state, by reason", ["reason"]
)
STATES_DELIVERED = Counter("sse_auction_states_delivered_total", "States handed to viewers")
STATES_CONFLATED = Counter(
    "sse_auction_states_conflated_total", "States replaced by a newer one before a slow viewer took them"
)
DRAINING = Gauge("sse_auction_draining", "Processes that are draining", multiprocess_mode="livesum")
DRAIN_PROGRESS = Gauge(
    "sse_auction_drain_progress",
    "Share of the streams that have ended of those that were open when draining began; 0 before",
    multiprocess_mode="livemin",
)
LOOP_LAG = Gauge(
    "sse_auction_loop_lag_seconds",
    "How late the event loop ran its last timer; above 0.1 the process is overloaded",
    multiprocess_mode="livemax",
)
TASKS = Gauge(
    "sse_auction_tasks",
    "Tasks of the event loop; they come and go with requests, and do not grow over time",
    multiprocess_mode="livesum",
)
MIRROR_STALENESS = Gauge(
    "sse_auction_mirror_staleness_seconds",
    "Age of the last moment at which the mirror was known to equal the store; up to about 1 s while prices are live",
    multiprocess_mode="livemax",
)
MIRROR_READS = Counter("sse_auction_mirror_reads_total", "Auctions read by the mirror")
MIRROR_LIVE = Gauge(
    "sse_auction_mirror_live", "1 while prices are live: the mirror equals the store", multiprocess_mode="livemin"
)
MIRROR_POLLING = Gauge(
    "sse_auction_mirror_polling", "1 while the store refuses CLIENT TRACKING", multiprocess_mode="livemax"
)
STORE_FULL = Gauge(
    "sse_auction_store_full",
    "1 while the embedded store refuses writes because its disk is full",
    multiprocess_mode="livemax",
)
STORE_ERRORS = Counter("sse_auction_store_errors_total", "Calls to the store that failed, by kind", ["kind"])
STORE_SECONDS = Histogram(
    "sse_auction_store_seconds",
    "From sending a call to the store's answer, by connection: store (bids, polls of unwatched auctions) or mirror",
    ["connection"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
DEADLINES_MISSED = Counter(
    "sse_auction_deadlines_missed_total", "Calls that the store did not answer in time, by connection", ["connection"]
)
BIDS = Counter("sse_auction_bids_total", "Bids by result", ["result"])
BID_SECONDS = Histogram(
    "sse_auction_bid_seconds",
    "From a bid's arrival to its answer",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
WEBHOOKS = Counter(
    "sse_auction_webhooks_total", "Webhook messages by result: sent, failed (and tried again), dead", ["result"]
)
FANOUT_SECONDS = Histogram(
    "sse_auction_fanout_seconds",
    "Handing one state to all viewers of its auction",
    buckets=(0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1),
)
MIRROR_READ_SECONDS = Histogram(
    "sse_auction_mirror_read_seconds",
    "From noticing that auctions changed to having read them",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2),
)


def render() -> tuple[bytes, str]:
    """(body, content type) of the metrics of all workers."""
    registry = REGISTRY
    if os.environ.get(MULTIPROCESS_VARIABLE):
        registry = CollectorRegistry()
        _forget_the_dead()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the package leaves it untyped
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead() -> None:
    """Remove the gauges of workers that were killed, because their streams are gone."""
    for path in Path(os.environ[MULTIPROCESS_VARIABLE]).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the package leaves it untyped
        except PermissionError:
            pass  # the process is alive and belongs to another user
