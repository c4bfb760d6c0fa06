"""The auctions by status: the lists that listings are read from.

Rule: a list only proposes; the auction's own state decides whether it is shown. A list is a sorted set of entries
`<moment>:<guid>`, all with score 0 and so in the order of their bytes. The moment of an entry does not change while
its auction stays in the list: it is the closing that the auction was created with, and in the lists of auctions that
are over it is the last closing. So a page begins after an entry, not at a rank, and still holds when that entry's
auction has moved.

The lists are in another cluster slot than the auctions and are written after them; `file` may be repeated at any
time. When a process or its connection died before `file`, a reader repairs the lists: every listing also looks at the
auctions that are due, an entry that does not fit makes its auction due, and `keep` checks all auctions that are not
over.
"""

import asyncio
import logging
import random
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, get_args

from sse_auction.auction.state import Record, State
from sse_auction.auction.terms import Terms
from sse_auction.store import keys
from sse_auction.store.connection import StoreError, StoreUnavailable
from sse_auction.store.store_connection import StoreConnection

log = logging.getLogger(__name__)

Listing: TypeAlias = Literal["all", "upcoming", "open", "closed", "cancelled", "archived"]
_LISTS: tuple[Listing, ...] = get_args(Listing)
LISTINGS: tuple[Listing, ...] = _LISTS[:-1]  # archived auctions appear in none of them
_NOT_OVER: tuple[Listing, ...] = ("upcoming", "open")
_LATEST_FIRST: tuple[Listing, ...] = ("closed", "cancelled", "archived")
_ENTRY = re.compile(r"[0-9]{15}:[A-Za-z0-9_-]{1,64}", re.ASCII)

_DUE_AHEAD_MS = 1000  # the store's clock is estimated, and auctions become due while a page is read
_AT_ONCE = 100  # auctions: a few ms of work, so that bids do not wait long
_PAUSE_SECONDS = 0.01  # between those portions, while all auctions that are not over are checked
_DEADLINE_SECONDS = 2.0  # of a listing, while the auctions of an earlier version are being filed
_RETRY_SECONDS = 1.0
_KEEP_SECONDS = 600.0  # at most, between checks of all auctions that are not over

Shown: TypeAlias = tuple[Terms, State]


class WrongCursor(ValueError):
    """The text is not a cursor of this listing."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The end of a page: an entry of a listing. It stays valid when that entry disappears."""

    listing: Listing
    entry: str

    def __str__(self) -> str:
        return f"{self.listing}.{self.entry.replace(':', '.')}"

    @classmethod
    def read(cls, text: str, listing: Listing) -> Self:
        """The cursor in `text`. Raises: `WrongCursor` unless it is one of this listing."""
        name, _, place = text.partition(".")
        entry = place.replace(".", ":", 1)
        if name != listing or not _ENTRY.fullmatch(entry):
            raise WrongCursor(text)
        return cls(listing, entry)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. `next` is None on the last page; `before` of the `total` come before this page."""

    auctions: list[Shown]
    next: Cursor | None
    total: int
    before: int


class Records(Protocol):
    """The part of `Auctions` that is needed here."""

    def now(self) -> int: ...
    def state_of(self, record: Record) -> State: ...
    async def read_multi(self, guids: Sequence[str]) -> list[Record]: ...


class Catalogue:
    """The lists of one store's auctions."""

    def __init__(self, connection: StoreConnection, auctions: Records) -> None:
        self._connection = connection
        self._auctions = auctions
        self._complete = asyncio.Event()

    # --- writing -------------------------------------------------------------------------------------------------

    async def file(self, *auctions: Shown) -> None:
        """Put auctions into the lists of their statuses and remove them from all others."""
        commands: dict[tuple[str, Listing], list[str]] = {}
        for terms, state in auctions:
            for each in _LISTS:
                if _belongs(terms, state, each):
                    commands.setdefault(("ZADD", each), []).extend(("0", _entry(each, terms)))
                elif state.status != "unknown":  # an auction with an invalid price stays listed until it is repaired
                    commands.setdefault(("ZREM", each), []).append(_entry(each, terms))
        if commands:
            await self._connection.link().transaction(
                *((command, keys.listed(each), *rest) for (command, each), rest in commands.items())
            )

    async def note(self, terms: Terms, state: State) -> None:
        """File an auction after a decision. A failure is only logged, because the decision must be answered."""
        try:
            await self.file((terms, state))
        except StoreError as error:
            log.warning("auction %s could not be listed, and will be later: %s", terms.guid, error)
        self.look_at(terms.guid)  # another decision may have been filed meanwhile

    def look_at(self, guid: str, after_ms: int = 0) -> None:
        """Make an auction due, so that it is soon settled and filed by its state of then. Best effort."""
        with suppress(StoreUnavailable):
            self._connection.link().call("ZADD", keys.DUE, self._auctions.now() + after_ms, guid)

    async def unlist(self, terms: Terms) -> None:
        """Remove an auction, by its previous terms, from the lists of auctions that are over."""
        await self._connection.link().transaction(
            *(("ZREM", keys.listed(each), _entry(each, terms)) for each in _LATEST_FIRST)
        )

    async def forget(self, terms: Terms) -> None:
        """Remove a deleted auction from all lists, from `DUE` and from the index."""
        link = self._connection.link()
        await link.transaction(*(("ZREM", keys.listed(each), _entry(each, terms)) for each in _LISTS))
        await link.call("ZREM", keys.DUE, terms.guid)
        await link.call("ZREM", keys.INDEX, terms.guid)

    # --- reading -------------------------------------------------------------------------------------------------

    async def page(self, listing: Listing, after: Cursor | None, limit: int) -> Page:
        """Up to `limit` auctions after a cursor, by the closing they were created with; those over, latest first.

        An auction that belongs to the listing all the time appears exactly once in all pages together.
        Raises: `StoreUnavailable`, also while the lists are still being made.
        """
        await self._until_complete()
        start = after.entry if after else None
        backwards = listing in _LATEST_FIRST
        due, total, before = await self._due(listing, start)
        found = {entry: shown for entry, shown in due.items() if _follows(entry, start, backwards)}
        found |= await self._walk(listing, start, limit)
        given = sorted(found.items(), reverse=backwards)[:limit]
        cursor = Cursor(listing, given[-1][0]) if len(found) > limit else None
        return Page([shown for _, shown in given], cursor, total, before)

    async def lacking(self, terms: Terms, state: State) -> list[Listing]:
        """The listings that an auction belongs to but is missing from."""
        wanted = [each for each in _LISTS if _belongs(terms, state, each)]
        link = self._connection.link()
        scores = await asyncio.gather(*(link.call("ZSCORE", keys.listed(each), _entry(each, terms)) for each in wanted))
        return [each for each, score in zip(wanted, scores, strict=True) if score is None]

    async def _walk(self, listing: Listing, start: str | None, limit: int) -> dict[str, Shown]:
        """The auctions of a list after an entry, by entry: more than `limit`, or all up to the end."""
        backwards = listing in _LATEST_FIRST
        first, last = ("+", "-") if backwards else ("-", "+")
        options = ("BYLEX", *(("REV",) if backwards else ()), "LIMIT", 0, limit + 1)
        found: dict[str, Shown] = {}
        while len(found) <= limit:
            bounds = (f"({start}" if start else first, last)
            entries = await self._connection.link().call("ZRANGE", keys.listed(listing), *bounds, *options)
            found |= await self._fitting(listing, [entry.decode() for entry in entries])
            if len(entries) <= limit:
                break
            start = entries[-1].decode()
        return found

    async def _fitting(self, listing: Listing, entries: Sequence[str]) -> dict[str, Shown]:
        """The entries that agree with their auction's own state; the others are repaired."""
        records = await self._auctions.read_multi([_guid_of(entry) for entry in entries])
        found: dict[str, Shown] = {}
        for entry, record in zip(entries, records, strict=True):
            if record.terms is None and record.invalid_value is not None:
                continue
            if record.terms is None or _entry(listing, record.terms) != entry:
                # The auction is gone, or this was not its last closing: such an entry can never fit again.
                self._connection.link().call("ZREM", keys.listed(listing), entry)
                continue
            state = self._auctions.state_of(record)
            if _belongs(record.terms, state, listing):
                found[entry] = record.terms, state
            elif record.invalid_value is None:
                self.look_at(record.guid)
        return found

    async def _due(self, listing: Listing, start: str | None) -> tuple[dict[str, Shown], int, int]:
        """(the due auctions that belong to a listing, the listing's total, how many of them are up to `start`).

        The status of a due auction has changed with time, and the lists may not show that yet.
        """
        link, key = self._connection.link(), keys.listed(listing)
        backwards = listing in _LATEST_FIRST
        until_start = (f"[{start}", "+") if backwards else ("-", f"[{start}")
        filed = link.call("ZCARD", key)
        passed = link.call("ZLEXCOUNT", key, *until_start) if start else None
        soon = self._auctions.now() + _DUE_AHEAD_MS
        guids = [guid.decode() for guid in await link.call("ZRANGE", keys.DUE, "-inf", soon, "BYSCORE")]
        total, before = await filed, await passed if passed else 0
        records = [each for each in await self._auctions.read_multi(guids) if each.terms is not None]
        entries = [_entry(listing, each.terms) for each in records if each.terms is not None]
        scores = await link.call("ZMSCORE", key, *entries) if entries else []
        found: dict[str, Shown] = {}
        for entry, record, score in zip(entries, records, scores, strict=True):
            state = self._auctions.state_of(record)
            belongs = record.terms is not None and _belongs(record.terms, state, listing)
            if belongs and record.terms is not None:
                found[entry] = record.terms, state
            more = belongs - (score is not None)
            total += more
            before += more if start and not _follows(entry, start, backwards) else 0
        return found, total, before

    async def _until_complete(self) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await self._complete.wait()
        except TimeoutError:
            raise StoreUnavailable("the lists of auctions are still being made; ask again") from None

    # --- keeping -------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Keep every auction in its list, until cancelled."""
        while True:
            try:
                await self._connection.connected()
                await self._adopt()
                for listing in _NOT_OVER:
                    await self._look_through(listing)
            except StoreError as error:
                log.debug("the lists cannot be kept now: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await asyncio.sleep(_KEEP_SECONDS * random.uniform(0.5, 1))

    async def _adopt(self) -> None:
        """File the auctions of versions that keep no lists; such a process may still run and create more."""
        link = self._connection.link()
        managed_count = await link.call("ZCARD", keys.INDEX)  # first, as new auctions enter it first
        listed = [await link.call("ZCARD", keys.listed(each)) for each in ("all", "archived")]
        is_whole = managed_count <= sum(listed)
        if is_whole or await link.call("EXISTS", keys.LISTS_COMPLETE):
            self._complete.set()  # also when the store accepts no writes now
        cursor, count = b"0", 0
        while not is_whole:
            cursor, flat = await link.call("ZSCAN", keys.INDEX, cursor, "COUNT", _AT_ONCE)
            records = await self._auctions.read_multi([guid.decode() for guid in flat[::2]])
            managed = [(each.terms, self._auctions.state_of(each)) for each in records if each.terms is not None]
            await self.file(*managed)
            due = [each.guid for each in records if each.terms is not None and each.outcome is None]
            await self._make_due(due)
            count += len(managed)
            if cursor == b"0":
                break
        await link.call("SET", keys.LISTS_COMPLETE, "1")
        self._complete.set()
        if count:
            log.info("%d auctions were listed", count)

    async def _look_through(self, listing: Listing) -> None:
        """Check a list of auctions that are not over: each must belong there and must be in `DUE`."""
        link, start = self._connection.link(), "-"
        while True:
            found = await link.call("ZRANGE", keys.listed(listing), start, "+", "BYLEX", "LIMIT", 0, _AT_ONCE)
            entries = [entry.decode() for entry in found]
            await self._fitting(listing, entries)
            await self._make_due([_guid_of(entry) for entry in entries])
            if len(entries) < _AT_ONCE:
                return
            start = f"({entries[-1]}"
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _make_due(self, guids: Sequence[str]) -> None:
        """Make auctions due now, unless they are in `DUE` already."""
        if guids:
            now = str(self._auctions.now())
            await self._connection.link().call(
                "ZADD", keys.DUE, "NX", *(part for guid in guids for part in (now, guid))
            )


def _belongs(terms: Terms, state: State, listing: Listing) -> bool:
    return listing == "archived" if terms.archived else listing in ("all", state.status)


def _entry(listing: Listing, terms: Terms) -> str:
    """The entry of an auction in a listing, if it belongs there."""
    moment = terms.closes_at if listing in _LATEST_FIRST else terms.original_closes_at
    return f"{moment:015d}:{terms.guid}"


def _guid_of(entry: str) -> str:
    return entry.partition(":")[2]


def _follows(entry: str, start: str | None, backwards: bool) -> bool:
    return start is None or (entry < start if backwards else entry > start)
