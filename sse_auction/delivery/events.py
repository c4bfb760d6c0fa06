"""The Server-Sent Events of streams: the only place that makes their bytes.

Rule: an event is made from JSON (which holds no raw CR, LF or NUL) and from tags (with checked characters), so that no
value can inject a field. A state is encoded once for all its viewers; only the clock at its end differs from one
delivery to the next.
"""

import random
from dataclasses import replace
from decimal import Decimal
from functools import cached_property

from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.wire.replies import StandingEvent, encode


class Update:
    """One state of one auction. It is encoded once, when first needed, for any number of viewers."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.guid = state.guid
        self.is_final = state.is_final
        self._event = b"event: closed\ndata: " if self.is_final else b"event: price\ndata: "

    @cached_property
    def seen(self) -> Version:
        """What a viewer has seen that this was sent to."""
        return Version(self.state.epoch, self.state.rev, Decimal(self.state.price) if self.state.price else None)

    @cached_property
    def _json(self) -> bytes:
        return encode(replace(self.state, now=0))[:-2]  # all but `0}`: the clock is put in at each delivery

    def json(self, now: int) -> bytes:
        """The state as JSON, stamped `now` (epoch ms) as far as it is true then."""
        return b"%b%d}" % (self._json, self.state.stamp(now))

    @cached_property
    def _with_id(self) -> bytes:
        return b"id: %b\n%b%b" % (self.state.tag.encode(), self._event, self._json)

    def event(self, now: int) -> bytes:
        """The SSE event for a stream of this one auction; its id is the tag, so that a reconnect can resume."""
        return b"%b%d}\n\n" % (self._with_id, self.state.stamp(now))

    def multi_event(self, now: int) -> bytes:
        """The SSE event for a stream of several auctions: no id, for one id cannot resume many."""
        return b"%b%b%d}\n\n" % (self._event, self._json, self.state.stamp(now))


def retry_field(min_ms: int, max_ms: int) -> bytes:
    """The SSE field that sets a client's pause before it reconnects; random, so that a crowd comes back spread out.

    It takes effect as a line; without an empty line after it, no client takes it for an event.
    """
    return b"retry: %d\n" % random.randint(min_ms, max_ms)


def heartbeat_event(now: int, live: bool) -> bytes:
    """The SSE event that shows that the connection works: the time (epoch ms), and whether prices are live."""
    return b'event: hb\ndata: {"now":%d,"live":%b}\n\n' % (now, b"true" if live else b"false")


def busy_event(now: int, reason: str) -> bytes:
    """The SSE event of a stream that was refused for now: reconnect later."""
    return b'event: busy\ndata: {"now":%d,"reason":%b}\n\n' % (now, encode(reason))


def standing_event(standing: StandingEvent) -> bytes:
    """The SSE event that says how one bidder stands in one auction."""
    return b"event: standing\ndata: %b\n\n" % encode(standing)
