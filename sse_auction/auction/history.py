"""The public part of a bid in the log: which paddle is committed to which price.

Pure. The log holds a bid as it was decided: its maximum, and the price and the leader that it made. A leader's maximum
is secret. The maximum of a bid that was outbid at once is its bidder's commitment, and no secret any more.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sse_auction.auction.money import format_amount, parse_amount


@dataclass(slots=True)
class HistoryEntry:
    """A bid in its public form: this paddle is committed to `price`; `at` is epoch ms.

    A bid that the leader's maximum answers at once has two entries of the same `seq`: the bid, at its own maximum, and
    the leader's automatic bid above it.
    """

    seq: int
    paddle: int
    price: str
    automatic: bool
    at: int
    voided: bool


def what_is_void(paddles: Iterable[bytes], undone: bytes | None) -> frozenset[str]:
    """The paddles with void bids and the entries of undone purchases, from two values of the store."""
    return frozenset([*(each.decode() for each in paddles), *(f"{seq}-0" for seq in (undone or b"").decode().split())])


def entries_of(entry_id: str, fields: Mapping[str, str], currency: str, voided: Collection[str]) -> list[HistoryEntry]:
    """The bid; and the leader's automatic bid, when that outbid it at once.

    Logs of older releases do not name the leader after a bid: from them only the bid itself can be shown.
    """
    seq, at, paddle = int(entry_id.partition("-")[0]), int(fields["at"]), fields["paddle"]
    price = parse_amount(fields["price"], currency)
    committed = min(price, int(fields.get("max", price)))
    is_void = paddle in voided or entry_id in voided
    entries = [HistoryEntry(seq, int(paddle), format_amount(committed, currency), False, at, is_void)]
    leader = fields.get("leader", paddle)
    if leader != paddle:
        is_void = is_void or leader in voided
        entries.append(HistoryEntry(seq, int(leader), format_amount(price, currency), True, at, is_void))
    return entries
