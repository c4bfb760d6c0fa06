"""A hub alone, and states for it."""

from dataclasses import replace

from sse_auction.auction.increments import Increments
from sse_auction.auction.state import Record, State
from sse_auction.auction.terms import Terms
from sse_auction.delivery.hub import Hub

TERMS = Terms("g", "Lot", "CNY", 1000, Increments(((0, 100),)), 0, 10**9, created_at=0, original_closes_at=10**9)


class Watchlist:
    """A source that only remembers what is watched."""

    def __init__(self) -> None:
        self.guids: list[str] = []

    def watch(self, guid: str) -> None:
        self.guids.append(guid)

    def unwatch(self, guid: str) -> None:
        self.guids.remove(guid)


def make_hub(*, heartbeat: float = 100, life: float = 1000, most: int = 100_000) -> tuple[Hub, Watchlist]:
    source = Watchlist()
    hub = Hub(source, lambda: 1000, heartbeat_seconds=heartbeat, stream_life_seconds=life, max_streams=most)
    hub.set_live(True)
    return hub, source


def state(rev: int, price: str | None, guid: str = "g", now: int = 1000) -> State:
    return Record(guid, replace(TERMS, guid=guid), price, rev=rev).state(now, "memory", "CNY")


def external(price: str | None, now: int = 1000) -> State:
    return Record("g", None, price).state(now, "memory", "CNY")


def prices(data: bytes) -> list[str]:
    return [part.split(b'"', 1)[0].decode() for part in data.split(b'"price":"')[1:]]
