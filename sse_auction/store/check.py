"""Verification: reads an auction's whole log and compares its result with the auction's keys."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from sse_auction.auction.decisions import Refused
from sse_auction.auction.replay import BrokenLog, Replay
from sse_auction.store import keys
from sse_auction.store.auctions import Auctions
from sse_auction.store.bid_log import BidLog

_BEING_FILED_MS = 1000  # an auction that is due within this time is about to move to another list


class Verification:
    """Compares the logs of one store's auctions with the auctions."""

    def __init__(self, auctions: Auctions, bid_log: BidLog) -> None:
        self._auctions = auctions
        self._connection = auctions.connection
        self._log = bid_log

    async def verify(self, guid: str) -> list[str] | Refused:
        """The differences between an auction and its log, one sentence each; an empty list when they agree."""
        unlisted, is_due = await self._unlisted(guid)  # first, because settling removes the auction from `DUE`
        commands = (
            ("HGETALL", keys.auction(guid)),
            ("HGETALL", keys.private(guid)),
            ("GET", keys.price(guid)),
            ("SMEMBERS", keys.voided(guid)),
            ("HGETALL", keys.paddles(guid)),
            ("XREVRANGE", keys.bids(guid), "+", "-", "COUNT", 1),
        )
        replies = await self._connection.link().transaction(*commands)
        refused = [(command[1], reply) for command, reply in zip(commands, replies, strict=True) if _is_refused(reply)]
        if refused:
            return [f"{key} cannot be read: {reply}" for key, reply in refused]
        public, private, price, voided, paddles, newest = replies
        if not public and not newest:
            return Refused("external" if price is not None else "unknown")
        if not newest:
            return ["there is no log"]
        replay = Replay()
        try:
            async with aclosing(self._log.entries(guid, newest[0][0].decode())) as entries:
                async for entry_id, fields in entries:
                    replay.take(entry_id, fields)
        except BrokenLog as error:
            return [str(error)]
        found = {**_texts(public), **_texts(private), "price": _text(price or b"")}
        found["voided"] = " ".join(sorted(map(_text, voided)))
        expected = replay.expected()
        if not is_due and expected["settled"] != "1":
            unlisted.append("it is not in the list of due auctions, so it will not be settled")
        differing = differences(expected, found) + wrong_paddles(replay.paddles, _texts(paddles))
        return differing + wrong_reasons(replay.voided, found) + unlisted

    async def _unlisted(self, guid: str) -> tuple[list[str], bool]:
        """(the lists that lack this auction, one sentence each; whether the auction is in `DUE`)."""
        auctions = self._auctions
        indexed, due = await asyncio.gather(
            *(self._connection.link().call("ZSCORE", key, guid) for key in (keys.INDEX, keys.DUE))
        )
        wrong = [] if indexed is not None else ["it is not in the index of all auctions"]
        try:
            record = await auctions.read(guid)
        except ValueError:  # a field that cannot be read: the comparison with the log reports it
            return wrong, due is not None
        if record.terms is not None and (due is None or due > auctions.now() + _BEING_FILED_MS):
            lacking = await auctions.catalogue.lacking(record.terms, auctions.state_of(record))
            # An open auction changes its list with time. After a step of the clock it may still wait for that.
            lasting = [each for each in lacking if each == "all" or record.outcome is not None]
            wrong += [f"it is not in the listing {each!r}" for each in lasting]
        return wrong, due is not None


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The fields that differ between log and store, one sentence each; empty when they agree."""
    return [
        f"{name} must be {value!r} by the log, and is {found.get(name, '')!r}"
        for name, value in expected.items()
        if found.get(name, "") != value
    ]


def wrong_paddles(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The same for the bidders' paddles: the store must have exactly those of the log."""
    differing = [(bidder, expected.get(bidder), found.get(bidder)) for bidder in sorted(expected.keys() | found.keys())]
    return [
        f"the paddle of {bidder!r} must be {due or 'none'} by the log, and is {held or 'none'}"
        for bidder, due, held in differing
        if due != held
    ]


def wrong_reasons(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The same for the reasons of voided bidders, by paddle. Older releases stored no reason beside the log."""
    kept = {name.removeprefix("void:"): reason for name, reason in found.items() if name.startswith("void:")}
    return [
        f"the reason why paddle {paddle} is void must be {expected.get(paddle, '')!r} by the log, and is {reason!r}"
        for paddle, reason in kept.items()
        if expected.get(paddle) != reason
    ]


def _is_refused(reply: object) -> bool:
    return isinstance(reply, Exception)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}
