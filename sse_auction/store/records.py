"""What is read of an auction in the store, and the record that it makes.

Pure: from the store's replies, which are bytes, to the domain's values.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from sse_auction.auction.increments import Increments
from sse_auction.auction.money import exponent_of, parse_foreign_price
from sse_auction.auction.state import Record
from sse_auction.auction.terms import SoftClose, Terms
from sse_auction.store import keys

# What the state and the terms of a recorded auction are made of, in the order in which the store is asked for it. New
# ones come last: answers that an older release has remembered have the first of them.
FIELDS_OF_TERMS = (
    "title", "currency", "start_price", "increments", "opens_at", "closes_at", "created_at", "original_closes_at",
    "bidding", "aligned", "buy_now", "buy_now_mode", "window_ms", "extend_ms", "hard_close_at", "max_extensions",
)  # fmt: skip
FIELDS = (
    *FIELDS_OF_TERMS, "rev", "bids", "leader", "extensions", "reserve_met", "outcome", "paused_at", "seq", "unpaid",
    "archived",
)  # fmt: skip
Values: TypeAlias = Sequence[bytes | None]  # of `FIELDS`; None where the hash has no such field, or is not there


def read_record(
    guid: str, price: bytes | Exception | None, values: Values | Exception, plain_currency: str, read_at: int = 0
) -> Record:
    """The record of an auction from its price key and the `FIELDS` of its hash, as the store returned them."""
    if isinstance(values, Exception):
        return Record(guid, None, None, invalid_value=str(values), read_at=read_at)
    terms = read_terms(guid, values)
    shown, invalid_value = _read_price(price, terms.currency if terms else plain_currency)
    if terms is None:
        return Record(guid, None, shown, invalid_value, read_at=read_at)
    if shown is not None and len(shown.partition(".")[2]) > exponent_of(terms.currency):
        invalid_value = shown  # more decimals than the currency of this recorded auction can hold
    rev, count, leader, extensions, reserve_met, outcome, paused_at, seq, unpaid, _ = values[len(FIELDS_OF_TERMS) :]
    bids = int(count or 0)
    if shown is None and invalid_value is None and bids:
        invalid_value = ""  # bids were taken, so a missing price is a loss and not a beginning
    return Record(
        guid=guid,
        terms=terms,
        price=shown,
        invalid_value=invalid_value,
        rev=int(rev or 0),
        bids=bids,
        leader=int(leader) if leader else None,
        extensions=int(extensions or 0),
        reserve_met=reserve_met == b"1" if reserve_met else None,
        outcome=outcome.decode() if outcome else None,  # type: ignore[arg-type]  # what our scripts write
        paused=bool(paused_at),
        seq=int(seq or count or 0),  # auctions of before the acts kept none
        read_at=read_at,
        unpaid=unpaid == b"1",
    )


def read_terms(guid: str, values: Values) -> Terms | None:
    """The terms in the `FIELDS` of an auction's hash; None where there is no recorded auction."""
    return None if values[1] is None else _parse_terms(guid, *values[: len(FIELDS_OF_TERMS)], values[-1])


@lru_cache(maxsize=16_384)  # read with every state, and they hardly ever change
def _parse_terms(
    guid: str, title: bytes, currency: bytes, start_price: bytes, increments: bytes, opens_at: bytes,
    closes_at: bytes, created_at: bytes, original_closes_at: bytes | None, bidding: bytes | None,
    aligned: bytes | None, buy_now: bytes | None, buy_now_mode: bytes | None, window_ms: bytes | None,
    extend_ms: bytes | None, hard_close_at: bytes | None, max_extensions: bytes | None, archived: bytes | None,
) -> Terms:  # fmt: skip
    return Terms(
        guid=guid,
        title=title.decode(),
        currency=currency.decode(),
        start_price=int(start_price),
        increments=Increments.load(increments.decode()),
        opens_at=int(opens_at),
        closes_at=int(closes_at),
        created_at=int(created_at),
        original_closes_at=int(original_closes_at or closes_at),
        bidding="proxy" if bidding == b"proxy" else "manual",
        aligned=aligned == b"1",
        buy_now=int(buy_now) if buy_now else None,
        buy_now_mode="ceiling" if buy_now_mode == b"ceiling" else "until_first_bid",
        soft_close=SoftClose(int(window_ms), int(extend_ms)) if window_ms and extend_ms else None,
        hard_close_at=int(hard_close_at) if hard_close_at else None,
        max_extensions=int(max_extensions) if max_extensions else None,
        archived=archived == b"1",
    )


def _read_price(value: bytes | Exception | None, currency: str) -> tuple[str | None, str | None]:
    """(price, damage) of a price key's value."""
    if value is None:
        return None, None
    if isinstance(value, Exception):
        return None, str(value)
    text = value.decode("ascii", "replace")
    price = parse_foreign_price(text, currency)
    return (price, None) if price is not None else (None, text)


@lru_cache(maxsize=16_384)
def read_commands(guid: str) -> tuple[tuple[str, ...], ...]:
    """The commands of the transaction that reads one auction, for `read_record`, and the moment at which it does."""
    return ("TIME",), ("GET", keys.price(guid)), ("HMGET", keys.auction(guid), *FIELDS)


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def text_of(flat: Sequence[bytes]) -> dict[str, str]:
    """The fields of a stream's entry."""
    return {name.decode(): value.decode() for name, value in _pairs(flat).items()}
