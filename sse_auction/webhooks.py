"""Webhooks: tells another service what happens to auctions, at least once, and in order per auction.

What is to be told stands in the auction's outbox, where the script that decided it has put it: so nothing is lost with
a process. Whoever sends holds the auction's lease, so that of all workers one sends at a time. A message leaves the
outbox when its receiver has answered 2xx; until then what comes after it waits. It is tried again, ever more rarely,
for a day; then it becomes a dead letter, which an operator can have sent again.

A message is signed with HMAC-SHA256 over `<unix seconds>.<body>`; see docs/reference.md for how to check it.
"""

import asyncio
import hmac
import logging
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

import httpx

from sse_auction.link import StoreError
from sse_auction.metrics import WEBHOOKS
from sse_auction.outbox import Outbox
from sse_auction.wire import encode

log = logging.getLogger(__name__)

SIGNATURE_HEADER = "Sse-Auction-Signature"
LOOK_SECONDS = 0.25  # between looks for what is to be sent
SCAN_SECONDS = 30.0  # between looks through all auctions, for what a process that died has told nobody of
AT_ONCE = 16  # auctions
ANSWER_SECONDS = 10.0
LEASE_SECONDS = 3 * ANSWER_SECONDS  # longer than any one sending, after each of which it is renewed
_NOT_DATA = ("event", "at", "rev", "id", "reserve")  # the last is never written; should it be, it is not told
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The header that proves who sent `body`, and when."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class Webhooks:
    """The sender of one process. `run` must be owned by somebody's task."""

    def __init__(self, outbox: Outbox, url: str, secret: str, give_up_seconds: float) -> None:
        self._outbox = outbox
        self._url = url
        self._secret = secret
        self._give_up_seconds = give_up_seconds
        self._name = secrets.token_hex(8)
        self._sending: set[str] = set()  # guids of auctions that this process tells of just now
        self._pauses: dict[str, float] = {}  # by guid, of auctions whose oldest message was not taken
        self._rests_until: dict[str, float] = {}
        self._scanned_at = float("-inf")

    async def run(self) -> None:
        """Send whatever there is, until cancelled."""
        timeout = httpx.Timeout(ANSWER_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as http, asyncio.TaskGroup() as tasks:
            while True:
                with _tolerance("what is to be sent cannot be read now"):
                    if time.monotonic() - self._scanned_at > SCAN_SECONDS:
                        await self._outbox.find()
                        self._scanned_at = time.monotonic()
                    for guid in await self._outbox.waiting():
                        rests = self._rests_until.get(guid, 0) > time.monotonic()
                        if not rests and guid not in self._sending and len(self._sending) < AT_ONCE:
                            self._sending.add(guid)
                            tasks.create_task(self._send_all(http, guid))
                await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def _send_all(self, http: httpx.AsyncClient, guid: str) -> None:
        """Send an auction's messages in order, until there are none or one is not taken, or the store is away."""
        lease = self._outbox.sender(guid)
        try:
            with _tolerance(f"nothing of auction {guid} can be sent now"):
                while await lease.hold(self._name, LEASE_SECONDS) and await self._send_oldest(http, guid):
                    pass
        finally:
            self._sending.discard(guid)
            with _tolerance("the lease ends by itself"):
                await lease.release(self._name)

    async def _send_oldest(self, http: httpx.AsyncClient, guid: str) -> bool:
        """Whether there was a message, and the next may follow it."""
        message = await self._outbox.oldest(guid)
        if message is None:
            return False
        entry_id, fields = message
        if await self._send(http, guid, entry_id, fields):
            await self._outbox.drop(guid, entry_id)
        elif self._is_too_old(entry_id):
            log.error("a webhook about auction %s was not taken for %g s: given up", guid, self._give_up_seconds)
            WEBHOOKS.labels("dead").inc()
            await self._outbox.give_up(guid, entry_id, fields)
        else:
            pause = self._pauses[guid] = min(LONGEST_PAUSE_SECONDS, 2 * self._pauses.get(guid, FIRST_PAUSE_SECONDS / 2))
            self._rests_until[guid] = time.monotonic() + pause * random.uniform(0.5, 1)
            return False
        self._pauses.pop(guid, None)
        self._rests_until.pop(guid, None)
        return True

    async def _send(self, http: httpx.AsyncClient, guid: str, entry_id: str, fields: Mapping[str, str]) -> bool:
        """Whether the receiver has taken it."""
        data = {name: value for name, value in fields.items() if name not in _NOT_DATA and value != ""}
        message = {
            "id": f"{guid}/{fields.get('id') or entry_id}",
            "event": fields["event"],
            "guid": guid,
            "at": int(fields["at"]),
            "rev": int(fields["rev"]),
            "data": data,
        }
        body = encode(message)
        signed = signature(self._secret, int(time.time()), body)
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signed}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):  # httpx counts anew with each byte that comes
                response = await http.post(self._url, content=body, headers=headers)
            trouble = "" if response.is_success else f"it answered {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            trouble = str(error) or type(error).__name__
        WEBHOOKS.labels("failed" if trouble else "sent").inc()
        if trouble and guid not in self._pauses:
            log.warning("a webhook about auction %s was not taken (%s); it is tried again", guid, trouble)
        return not trouble

    def _is_too_old(self, entry_id: str) -> bool:
        written_ms = int(entry_id.partition("-")[0])  # by the store's clock, as ids of streams are
        return self._outbox.now() - written_ms > self._give_up_seconds * 1000


@contextmanager
def _tolerance(consequence: str) -> Iterator[None]:
    """A store that is away is no reason to stop: whoever looks next finds what is left."""
    try:
        yield
    except StoreError as error:
        log.debug("%s: %s", consequence, error)
