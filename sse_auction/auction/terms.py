"""The terms of one auction: they are public, and no bid decides them."""

import re
from dataclasses import dataclass
from typing import Literal

from sse_auction.auction.increments import Increments
from sse_auction.auction.money import AmountError, format_amount, parse_amount

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
DEFAULT_SOFT_CLOSE = SoftClose(120_000, 120_000)


@dataclass(frozen=True, slots=True)
class Terms:
    """The public terms of a managed auction. Amounts in minor units, times in epoch ms."""

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
    archived: bool = False  # the auction is over, and appears in no listing


@dataclass(frozen=True, slots=True)
class NewAuction:
    """The checked terms of an auction to be created. Amounts in minor units, times in epoch ms."""

    guid: str
    title: str
    currency: str
    start_price: int
    increments: Increments
    opens_at: int | None  # None: it opens at once
    closes_at: int
    seller: str | None
    bidding: Bidding
    aligned: bool
    reserve: int | None
    buy_now: int | None
    buy_now_mode: BuyNowMode
    soft_close: SoftClose | None
    hard_close_at: int | None
    max_extensions: int | None
    priority: tuple[str, ...]


def read_reserve(text: str, buy_now: int | None, currency: str) -> int:
    """A reserve in minor units, for a new or a changed auction. Raises: `AmountError` when it is not accepted."""
    reserve = positive_amount("reserve", text, currency)
    if buy_now is not None and reserve > buy_now:
        shown, limit = format_amount(reserve, currency), format_amount(buy_now, currency)
        raise AmountError(f"reserve {shown} is above the buy-now price, {limit}")
    return reserve


def positive_amount(name: str, text: str, currency: str) -> int:
    """An amount above 0 in minor units. Raises: `AmountError`, which names the field `name`."""
    try:
        amount = parse_amount(text, currency)
    except AmountError as error:
        raise AmountError(f"{name} {error}") from None
    if amount == 0:
        raise AmountError(f"{name} must be above 0")
    return amount
