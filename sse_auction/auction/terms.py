"""What holds in one auction: all of it public, and none of it decided by a bid."""

import re
from dataclasses import dataclass
from typing import Literal

from sse_auction.auction.increments import Increments

BuyNowMode = Literal["until_first_bid", "ceiling"]
Bidding = Literal["manual", "proxy"]

_GUID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
RESERVED_GUIDS = frozenset({"stream"})  # names of routes below /auctions/


def is_guid(text: str) -> bool:
    """Whether `text` can name an auction: 1 to 64 of `[A-Za-z0-9_-]`, and not the name of a route."""
    return _GUID.fullmatch(text) is not None and text not in RESERVED_GUIDS


@dataclass(frozen=True, slots=True)
class SoftClose:
    """A bid within the last `window_ms` moves the closing to `extend_ms` after it."""

    window_ms: int
    extend_ms: int


SOFT_CLOSE_PRESETS = {"live": SoftClose(30_000, 30_000), "judicial": SoftClose(300_000, 300_000)}
USUAL_SOFT_CLOSE = SoftClose(120_000, 120_000)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds in a recorded auction; all of it public. Amounts in minor units, times in epoch ms."""

    guid: str
    title: str
    currency: str
    start_price: int
    increments: Increments
    opens_at: int
    closes_at: int
    created_at: int
    original_closes_at: int
    bidding: Bidding = "manual"
    aligned: bool = False
    buy_now: int | None = None
    buy_now_mode: BuyNowMode = "until_first_bid"
    soft_close: SoftClose | None = None
    hard_close_at: int | None = None
    max_extensions: int | None = None
    archived: bool = False  # it is over, and in no listing
