"""What must hold whatever breaks, checked from the outside: answers, the log in the store, what watchers show.

Each check returns a sentence for each violation; an empty list when all is well.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sse_auction.auction.increments import Increments
from tests.faults.chaos.crowd import Watcher, minor_units
from tests.support.history import Accepted, Log, Operation, ReadLog
from tests.support.linearizability import check

START_PRICE, STEP = 1000, 100  # minor units; the terms of the crowd's auctions


@dataclass(frozen=True)
class Entry:
    """A bid in the log."""

    seq: int
    bidder: str
    price: int
    at: int


def log_of(site: Any, guid: str) -> tuple[list[Entry], list[dict[str, str]]]:
    """(bids, other entries) of an auction's log, read as any program could."""
    bids, rest = [], []
    for identity, fields in site.xrange(f"{{AuctionMaxPrice-{guid}}}:bids"):
        seq, _, part = identity.partition("-")
        if part == "0":
            bids.append(Entry(int(seq), fields["bidder"], minor_units(fields["price"]), int(fields["at"])))
        else:
            rest.append(fields)
    return bids, rest


def in_order(entries: list[Entry]) -> Iterator[str]:
    """The log counts its bids, each is higher than the one before, and no leader outbids the own bid."""
    if [entry.seq for entry in entries] != list(range(1, len(entries) + 1)):
        yield f"the log's numbers are not 1 to {len(entries)}: {[entry.seq for entry in entries]}"
    for before, after in pairwise(entries):
        if after.price < before.price + STEP or after.bidder == before.bidder:
            yield f"the log has {after} after {before}"


def of_the_log(entries: list[Entry], history: list[Operation]) -> Iterator[str]:
    """Each accepted bid is in the log exactly once, in order; and nothing else is."""
    yield from in_order(entries)
    by_seq = {entry.seq: entry for entry in entries}
    for operation in history:
        answer, bid = operation.answer, operation.request
        if isinstance(answer, Accepted):
            entry = by_seq.get(answer.seq)
            if entry is None:
                yield f"lost: {operation} is not in the log"
            elif (entry.bidder, entry.price) != (bid.bidder, bid.amount):  # type: ignore[union-attr]  # only bids are accepted
                yield f"{operation} stands in the log as {entry}"
    keys = Counter((bidder, amount) for bidder, amount, _ in _keys(history))
    for what, times in Counter((entry.bidder, entry.price) for entry in entries).items():
        if times > keys[what]:
            yield f"doubled: {what} stands {times} times in the log, and was asked with {keys[what]} keys"


def _keys(history: Iterable[Operation]) -> set[tuple[str, int, str]]:
    return {(each.request.bidder, each.request.amount, each.request.key) for each in history}  # type: ignore[union-attr]  # bids only


def of_the_history(entries: list[Entry], history: list[Operation]) -> Iterator[str]:
    """One auction that does one thing at a time explains the answers to bidders and the log in the end."""
    end = max((each.asked_at for each in history), default=0.0) + 1e6
    log = Log(tuple((entry.seq, entry.bidder, entry.price) for entry in entries))
    verdict = check([*history, Operation(end, end, ReadLog(), log)], START_PRICE, Increments(((0, STEP),)))
    if not verdict.ok:
        yield f"not linearizable: {verdict.contradiction}"


def at_rest(site: Any, guid: str, watchers: list[Watcher], entries: list[Entry]) -> Iterator[str]:
    """Every viewer's last state is the state in the store."""
    price = site.get(f"AuctionMaxPrice-{guid}")
    if entries and (price is None or minor_units(str(price)) != entries[-1].price):
        yield f"the price is {price}, and the log's last {entries[-1]}"
    for watcher in watchers:
        shown = watcher.last
        if shown is None or (shown["price"], shown["bids"]) != (price, len(entries)):
            yield f"{watcher.name} shows {shown} where the store has {price} after {len(entries)} bids"


def of_the_ending(watchers: list[Watcher], entries: list[Entry], rest: list[dict[str, str]]) -> Iterator[str]:
    """There is one winner, and all clients got the same one."""
    settled = [fields for fields in rest if fields.get("kind") == "settled"]
    if len(settled) != 1:
        yield f"the log has {len(settled)} settlements: {settled}"
    finals = [watcher.last for watcher in watchers]
    verdicts = {_verdict(final) for final in finals}
    if len(verdicts) != 1:
        yield f"watchers received {verdicts}"
    price = entries[-1].price if entries else None
    for final in finals[:1]:
        if final is None or final["status"] != "closed":
            yield f"the last state is {final}"
        elif (final["price"] and minor_units(final["price"])) != price:
            yield f"it closed at {final['price']}, and the log's last is {price}"


def _verdict(final: dict[str, Any] | None) -> tuple[Any, ...]:
    return (
        () if final is None else tuple(final[name] for name in ("status", "outcome", "price", "leader", "bids", "rev"))
    )
