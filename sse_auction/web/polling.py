"""The price for clients that poll: at once, or held until there is something new.

Rule: a poller that says what it has (`If-None-Match`) never gets less. A state that is certainly newer is answered from
memory, and the state that it has is no news. Any other tag may come from another process that was further than this
one: then the store is asked.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction.version import Version
from sse_auction.delivery.events import Update
from sse_auction.web.auctions import JSONReply
from sse_auction.web.problems import RETRY_AFTER_SECONDS, Problem, store_unavailable
from sse_auction.web.requests import AppState, app_state_of, guid_of, header_of, service_of, whole_number

MAX_WAIT_SECONDS = 30
WAIT_WHEN_BUSY_SECONDS = 2.0
WAIT_WHEN_DRAINING_SECONDS = 0.5  # shorter than the server waits for its last requests
ANY = "*"  # in `If-None-Match`: whatever there is


@dataclass(frozen=True, slots=True)
class Known:
    """What a poller has, by the tags that it names."""

    tags: frozenset[str]

    @classmethod
    def of(cls, request: Request) -> "Known | None":
        """What `If-None-Match` names, or None."""
        header = header_of(request, b"if-none-match")
        tags = frozenset(tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")) - {""}
        return cls(tags) if tags else None

    def has(self, update: Update) -> bool:
        """Whether it has this very state, or asks for no state that exists (`*`)."""
        return update.state.tag in self.tags or ANY in self.tags

    def is_superseded_by(self, update: Update) -> bool:
        """Whether it has states of this epoch, and all of them are older."""
        seen = self._seen_in(update.seen.epoch)
        return bool(seen) and all(each.is_superseded_by(update.seen) for each in seen)

    def more_than(self, update: Update) -> str | None:
        """The tag of a later revision that it has, or None."""
        later = [(each.rev, tag) for tag in self.tags if (each := _seen(tag, update.seen.epoch))]
        rev, tag = max(later, default=(0, None))
        return tag if rev > update.seen.rev else None

    def lacks(self, update: Update) -> bool:
        """Whether this is news: another state, and no earlier revision."""
        return not self.has(update) and self.more_than(update) is None

    def and_this(self, update: Update) -> "Known":
        """What a poller has that need not be sent this state."""
        return Known(self.tags - {ANY} | {update.state.tag})

    def _seen_in(self, epoch: str) -> list[Version]:
        return [seen for tag in self.tags if (seen := _seen(tag, epoch))]


def _seen(tag: str, epoch: str) -> Version | None:
    seen = Version.of_tag(tag)
    return seen if seen is not None and seen.epoch == epoch else None


async def price(request: Request) -> Response:
    """The state, or 304; with `wait`, held until there is one that is newer than what `If-None-Match` names."""
    guid = guid_of(request)
    wait = whole_number(request, "wait", 0, 0, MAX_WAIT_SECONDS)
    app = app_state_of(request)
    service = app.service
    known = Known.of(request)
    if not await app.polls.acquire():
        raise Problem("overloaded", "too many poll at once; wait", retry_after=RETRY_AFTER_SECONDS)
    update = await _current(app, guid, known)
    newer: Update | None = update
    if known is not None and not known.lacks(update):
        newer = await _next(request, guid, known.and_this(update), update, wait) if wait else None
    if (newer or update).state.status == "unknown":
        raise Problem("unknown_auction", f"there is no auction {guid!r}")
    if newer is None:
        return _not_modified((known and known.more_than(update)) or update.state.tag)
    return JSONReply(newer.json(service.now()), headers=[(b"etag", b'"%b"' % newer.state.tag.encode())])


async def _current(app: AppState, guid: str, known: Known | None = None) -> Update:
    """The state as of now: the hub's if that is certainly no less than what is known, else the store's."""
    update = app.service.hub.state_of(guid)
    if update is None or (known is not None and not known.has(update) and not known.is_superseded_by(update)):
        update = await app.reads.update(guid)
    return update


async def _next(request: Request, guid: str, known: Known, update: Update, wait: int) -> Update | None:
    """The next state that is news; None when the time is up, the poller or the process leaves, or none can follow.

    Raises: `Problem` as soon as prices are not live: then it is unknown whether something has changed.
    """
    app = app_state_of(request)
    service = app.service
    if update.is_final:
        return None
    if service.hub.busy_reason is not None:
        max_wait = WAIT_WHEN_DRAINING_SECONDS if service.is_draining else WAIT_WHEN_BUSY_SECONDS
        await asyncio.sleep(min(wait, max_wait))  # otherwise the poller would be back in a millisecond
        newer: Update | None = await _current(app, guid, known)
    else:
        newer = await _watch(request, guid, known, update.seen, wait)
    return newer if newer is not None and known.lacks(newer) else None


async def _watch(request: Request, guid: str, known: Known, seen: Version, wait: int) -> Update | None:
    """The first state that is news; else what there is when the time is up, or the poller or the process leaves."""
    service = service_of(request)
    with service.hub.watch([guid], seen) as states:
        leaving = asyncio.create_task(_gone(request))
        try:
            async with asyncio.timeout(wait) as deadline:
                leaving.add_done_callback(partial(_expire, deadline))
                async for update in states:
                    if update is None:
                        raise store_unavailable("the store does not answer")
                    if known.lacks(update):
                        return update
        except TimeoutError:
            pass
        finally:
            leaving.cancel()
        return service.hub.state_of(guid)


async def _gone(request: Request) -> None:
    """Wait until the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _expire(deadline: asyncio.Timeout, leaving: asyncio.Task[None]) -> None:
    if not leaving.cancelled():
        deadline.reschedule(0)  # a moment that is past: at once


def _not_modified(tag: str) -> Response:
    return Response(status_code=304, headers={"etag": f'"{tag}"', "cache-control": "no-cache"})
