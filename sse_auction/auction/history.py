"""What a bid in the log tells everybody: who has committed himself to what by it.

Pure. The log keeps a bid as it was decided: its maximum, and the price and the leader that it made. A leader's maximum
is nobody's business; that of a bid which was outbid at once is what its bidder is committed to, and no secret any more.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sse_auction.auction.money import format_amount, parse_amount


@dataclass(slots=True)
class HistoryEntry:
    """A bid, as everybody may see it: `price` is what this paddle is committed to by it, `at` is epoch ms.

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
    """The paddles whose bids are void and the entries of purchases that were undone, of what the store has."""
    return frozenset([*(each.decode() for each in paddles), *(f"{seq}-0" for seq in (undone or b"").decode().split())])


def entries_of(entry_id: str, fields: Mapping[str, str], currency: str, voided: Collection[str]) -> list[HistoryEntry]:
    """The bid, and where it was outbid at once the automatic bid of the leader that did so.

    Logs of older releases do not say who leads after a bid: there only the bid itself can be told.
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
