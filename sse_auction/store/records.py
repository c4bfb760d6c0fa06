"""The fields that are read of an auction in the store, and the record made from them.

Pure: it turns the store's replies, which are bytes, into the domain's values.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from sse_auction.auction.increments import Increments
from sse_auction.auction.money import exponent_of, parse_foreign_price
from sse_auction.auction.state import Record
from sse_auction.auction.terms import SoftClose, Terms
from sse_auction.store import keys

# The fields of a managed auction's state and terms, in the order of the read command. New fields go to the end,
# because stored answers of an older release hold only the first of them.
FIELDS_OF_TERMS = (
    "title", "currency", "start_price", "increments", "opens_at", "closes_at", "created_at", "original_closes_at",
    "bidding", "aligned", "buy_now", "buy_now_mode", "window_ms", "extend_ms", "hard_close_at", "max_extensions",
)  # fmt: skip
FIELDS = (
    *FIELDS_OF_TERMS, "rev", "bids", "leader", "extensions", "reserve_met", "outcome", "paused_at", "seq", "unpaid",
    "archived",
)  # fmt: skip
Values: TypeAlias = Sequence[bytes | None]  # of `FIELDS`; None for a missing field or a missing hash


def read_record(
    guid: str, price: bytes | Exception | None, values: Values | Exception, external_currency: str, read_at: int = 0
) -> Record:
    """The record of an auction from its price key and the `FIELDS` of its hash, as the store returned them.

    An error reply is passed as the exception that it became. Then, and when a field cannot be read, the record has no
    terms and an `invalid_value`.
    """
    if isinstance(values, Exception):
        return Record(guid, None, None, invalid_value=str(values), read_at=read_at)
    try:
        return _read_record(guid, price, values, external_currency, read_at)
    except ValueError as error:  # our scripts write nothing that cannot be read; another program may
        return Record(guid, None, None, invalid_value=f"a field of the hash cannot be read: {error}", read_at=read_at)


def _read_record(
    guid: str, price: bytes | Exception | None, values: Values, external_currency: str, read_at: int
) -> Record:
    terms = read_terms(guid, values)
    shown, invalid_value = _read_price(price, terms.currency if terms else external_currency)
    if terms is None:
        return Record(guid, None, shown, invalid_value, read_at=read_at)
    if shown is not None and len(shown.partition(".")[2]) > exponent_of(terms.currency):
        invalid_value = shown  # more decimals than the currency of this managed auction has
    rev, count, leader, extensions, reserve_met, outcome, paused_at, seq, unpaid, _ = values[len(FIELDS_OF_TERMS) :]
    bids = int(count or 0)
    if shown is None and invalid_value is None and bids:
        invalid_value = ""  # bids were accepted, so a missing price is a loss of data
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
        outcome=outcome.decode() if outcome else None,  # type: ignore[arg-type]  # our scripts write it
        paused=bool(paused_at),
        seq=int(seq or count or 0),  # the first releases stored no seq
        read_at=read_at,
        unpaid=unpaid == b"1",
    )


def read_terms(guid: str, values: Values) -> Terms | None:
    """The terms in the `FIELDS` of an auction's hash; None when there is no managed auction."""
    return None if values[1] is None else _parse_terms(guid, *values[: len(FIELDS_OF_TERMS)], values[-1])


@lru_cache(maxsize=16_384)  # parsed with every state, and they rarely change
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
    """(price, invalid value) of a price key's value; one of them is None."""
    if value is None:
        return None, None
    if isinstance(value, Exception):
        return None, str(value)
    text = value.decode("ascii", "replace")
    price = parse_foreign_price(text, currency)
    return (price, None) if price is not None else (None, text)


@lru_cache(maxsize=16_384)
def read_commands(guid: str) -> tuple[tuple[str, ...], ...]:
    """The commands of the transaction that reads one auction: the store's time, and the input of `read_record`."""
    return ("TIME",), ("GET", keys.price(guid)), ("HMGET", keys.auction(guid), *FIELDS)


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def text_of(flat: Sequence[bytes]) -> dict[str, str]:
    """The fields of a stream's entry, as text."""
    return {name.decode(): value.decode() for name, value in _pairs(flat).items()}
