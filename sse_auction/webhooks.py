"""Webhooks: sends messages about auctions to another service, at least once, in order per auction.

The script that decides puts the message into the auction's outbox, so no message is lost with a process. A setting in
the store says that there are outboxes; all senders keep it alive and every process follows it. One sender at a time
sends, by a lease; when it dies, another one continues after the lease has expired. A message leaves the outbox when its
receiver has answered 2xx; until then the later messages wait. It is sent again, with growing pauses, for a day; then
it becomes a dead letter, which an operator can send again.

A message has two signatures: the headers of Standard Webhooks, and the header of the first releases, which existing
receivers check. docs/reference.md describes both.
"""

import asyncio
import base64
import binascii
import hmac
import logging
import random
import secrets
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256

import httpx
import standardwebhooks

from sse_auction.metrics import WEBHOOKS
from sse_auction.store.connection import StoreError
from sse_auction.store.outbox import Message, Outbox
from sse_auction.store.store_connection import OutboxContent
from sse_auction.wire.replies import encode

log = logging.getLogger(__name__)

SIGNATURE_HEADER = "Sse-Auction-Signature"
STANDARD_PREFIX = "whsec_"
LOOK_SECONDS = 0.25  # between the sender's looks for pending messages
STANDBY_SECONDS = 0.5  # between attempts of the other processes to take the lease
LEASE_SECONDS = 2.0  # with the above, another process continues within 3 s
SEARCH_SECONDS = 60.0  # between searches through all auctions, for messages that a dead process did not register
MIN_LIFE_SECONDS = 60.0  # of the setting in the store, even if messages are given up sooner
AT_ONCE = 32  # auctions
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 300.0


def signature(signing: Sequence[str], timestamp: int, body: bytes) -> str:
    """The value of `SIGNATURE_HEADER`: a time and one signature per secret, because a receiver knows one of them."""
    signed = f"{timestamp}.".encode() + body
    proofs = (hmac.new(secret.encode(), signed, sha256).hexdigest() for secret in signing)
    return ",".join([f"t={timestamp}", *(f"v1={proof}" for proof in proofs)])


def standard_key(secret: str) -> bytes:
    """The key of the standard signature: the base64 after `whsec_`, or else the secret's UTF-8 bytes."""
    if secret.startswith(STANDARD_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if key:
            return key
    return secret.encode()


def standard_headers(signing: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: the message's id, the time, and one signature per secret."""
    moment, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    proofs = (standardwebhooks.Webhook(standard_key(secret)).sign(message_id, moment, text) for secret in signing)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(proofs)}


class Webhooks:
    """The sender of one process: call `claim`, then `run`, which a task must own."""

    def __init__(
        self, outbox: Outbox, url: str, signing: Sequence[str], content: OutboxContent, give_up_seconds: float
    ) -> None:
        self._outbox = outbox
        self._url = url
        self._signing = signing
        self._content = content
        self._give_up_seconds = give_up_seconds
        self._life_seconds = max(give_up_seconds, MIN_LIFE_SECONDS)
        self._renewed_at = float("-inf")
        self._lease, self._name = outbox.lease(), secrets.token_hex(8)
        self._leads_until = float("-inf")
        self._searched_at = float("-inf")
        self._queue: asyncio.Queue[str] = asyncio.Queue()  # guids with pending messages; each is in `_in_hand` too
        self._in_hand: set[str] = set()
        self._pauses: dict[str, float] = {}  # by guid, of auctions with an oldest message that failed
        self._rests_until: dict[str, float] = {}

    async def claim(self) -> None:
        """Have every process write messages to the outboxes from now on, by the settings of this process."""
        with _tolerance("the setting is written when the store is reachable"):
            await self._outbox.keep(self._content, self._life_seconds, anew=True)
            self._renewed_at = time.monotonic()

    async def run(self) -> None:
        """Send pending messages while this process holds the lease, until cancelled."""
        authorities = httpx.create_ssl_context()  # all public authorities: loaded once
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE):
                    tasks.create_task(self._work(authorities))
                while True:
                    with _tolerance("pending messages cannot be read now"):
                        await self._renew()
                        if await self._lead():
                            await self._look()
                    pause = LOOK_SECONDS if self._is_leading else STANDBY_SECONDS
                    await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        finally:
            with _tolerance("the lease ends by itself"):
                await self._lease.release(self._name)

    async def _renew(self) -> None:
        """Keep the setting in the store alive; write it again at once when it was lost."""
        now = time.monotonic()
        if now - self._renewed_at > self._life_seconds / 4 or not self._outbox.is_kept:
            await self._outbox.keep(self._content, self._life_seconds, anew=False)
            self._renewed_at = now

    # --- who sends ---------------------------------------------------------------------------------------------

    @property
    def _is_leading(self) -> bool:
        return time.monotonic() < self._leads_until

    async def _lead(self) -> bool:
        """Whether this process is the one that sends."""
        now = time.monotonic()
        if self._leads_until - now > LEASE_SECONDS / 2:
            return True
        if await self._lease.hold(self._name, LEASE_SECONDS):
            if not self._is_leading:
                self._searched_at = float("-inf")  # the last holder may have died in the middle of its work
            self._leads_until = now + LEASE_SECONDS
            return True
        self._leads_until = float("-inf")
        self._pauses.clear()
        self._rests_until.clear()
        return False

    async def _look(self) -> None:
        """Queue the auctions with pending messages for the workers."""
        now = time.monotonic()
        for guid in await self._outbox.pending():
            if guid not in self._in_hand and self._rests_until.get(guid, 0) <= now:
                self._in_hand.add(guid)
                self._queue.put_nowait(guid)
        if now - self._searched_at > SEARCH_SECONDS and await self._outbox.reindex():
            self._searched_at = now

    # --- sending -----------------------------------------------------------------------------------------------

    async def _work(self, authorities: ssl.SSLContext) -> None:
        """Send the messages of one auction after the other, with a separate HTTP client, until cancelled.

        One shared client would search all its connections for each message: 3.5 ms of work instead of 1.
        """
        timeout, limits = httpx.Timeout(ANSWER_SECONDS), httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(verify=authorities, timeout=timeout, limits=limits) as http:
            while True:
                guid = await self._queue.get()
                try:
                    with _tolerance(f"nothing of auction {guid} can be sent now"):
                        await self._send_messages(http, guid)
                finally:
                    self._in_hand.discard(guid)

    async def _send_messages(self, http: httpx.AsyncClient, guid: str) -> None:
        """Send an auction's messages, until there are none, or one fails and must be sent again later."""
        in_a_row = 0  # given up
        while self._is_leading and (messages := await self._outbox.oldest(guid)):
            taken = await self._send_in_order(http, messages)
            if taken:
                in_a_row = 0
            if taken == len(messages) or not self._is_leading:
                continue
            late = self._late(messages[taken:])
            if not late:
                self._rest(guid)
                return
            # After one failure only that message is given up. When the next one fails too, all late ones are: a
            # receiver that accepts nothing must not be tried with each message.
            in_a_row += await self._give_up(late if in_a_row else late[:1])

    async def _send_in_order(self, http: httpx.AsyncClient, messages: Sequence[Message]) -> int:
        """Send messages in order up to the first failure; how many the receiver accepted."""
        for number, message in enumerate(messages):
            if not self._is_leading or not await self._send(http, message):
                return number
            await self._outbox.ack(message)
            self._pauses.pop(message.guid, None)
            self._rests_until.pop(message.guid, None)
        return len(messages)

    def _rest(self, guid: str) -> None:
        """Pause before an auction's next message; the pause grows with each failure."""
        pause = self._pauses[guid] = min(MAX_PAUSE_SECONDS, 2 * self._pauses.get(guid, FIRST_PAUSE_SECONDS / 2))
        self._rests_until[guid] = time.monotonic() + pause * random.uniform(0.5, 1)

    def _late(self, messages: Sequence[Message]) -> Sequence[Message]:
        oldest_kept = self._outbox.now() - self._give_up_seconds * 1000
        return [message for message in messages if message.written_at < oldest_kept]

    async def _give_up(self, late: Sequence[Message]) -> int:
        """Make dead letters of the messages; how many there are."""
        for message in late:
            await self._outbox.give_up(message)
        WEBHOOKS.labels("dead").inc(len(late))
        guid, seconds = late[0].guid, self._give_up_seconds
        log.error("webhooks about auction %s were not accepted for %g s: %d given up", guid, seconds, len(late))
        return len(late)

    async def _send(self, http: httpx.AsyncClient, message: Message) -> bool:
        """Send one message; whether the receiver accepted it.

        Without an answer the outcome is unknown, and the message is sent again: receivers get it at least once.
        """
        payload = message.payload()
        body, timestamp = encode(payload), int(time.time())
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: signature(self._signing, timestamp, body),
            **standard_headers(self._signing, payload["id"], timestamp, body),
        }
        try:
            async with asyncio.timeout(ANSWER_SECONDS):  # httpx restarts its timeout with each byte
                response = await http.post(self._url, content=body, headers=headers)
            trouble = "" if response.is_success else f"it answered {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            trouble = str(error) or type(error).__name__
        WEBHOOKS.labels("failed" if trouble else "sent").inc()
        if trouble and message.guid not in self._pauses:
            log.warning(
                "a webhook about auction %s was not accepted (%s); it will be sent again", message.guid, trouble
            )
        return not trouble


@contextmanager
def _tolerance(consequence: str) -> Iterator[None]:
    """Ignore a `StoreError`: the next look finds the messages that are left."""
    try:
        yield
    except StoreError as error:
        log.debug("%s: %s", consequence, error)
