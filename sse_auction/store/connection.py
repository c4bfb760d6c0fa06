"""One pipelined connection to the store.

redis-py reads the URL, opens the socket (TCP, TLS or unix), logs in and switches to RESP3; then this module takes
the connection's transport over and speaks hiredis on it directly. Why: every call made in one turn of the event
loop leaves in one write (a crowd's in a few), each has its own answer and its own deadline, and a push (an
invalidation) needs no task that waits for it.

Rules: nothing is ever sent twice (a bid must not count twice); a call without an answer in time fails as
`StoreTimeout`, whose outcome is unknown; a link that answered nothing during a whole deadline is given up, and the
calls that still wait there fail each at its own deadline, not sooner: a store that thaws may yet carry them out.
It knows nothing of auctions.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from sse_auction.metrics import DEADLINES_MISSED, STORE_SECONDS

log = logging.getLogger(__name__)

Argument: TypeAlias = str | bytes | int
Reply: TypeAlias = Any

MAX_WAITING_CALLS = 50_000  # beyond this the store is so far behind that a call could only time out
FLUSH_CALLS = 16  # leave before the turn ends, so that the store begins with the first bids of a crowd meanwhile
CONNECT_TIMEOUT_SECONDS = 1.0  # a frozen server accepts and says nothing; the next attempt must come soon
_FIRST_PAUSE_SECONDS = 0.05  # between attempts
_MAX_PAUSE_SECONDS = 0.5  # everything must be true again within 2 s of the store's return
_NOT_NOW = ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "MISCONF", "OOM", "NOREPLICAS", "TRYAGAIN")


class StoreError(Exception):
    """Something is wrong with the store; the message is a sentence."""


class StoreUnavailable(StoreError):
    """The store could not be asked, or went away before it answered."""


class StoreNotReady(StoreUnavailable):
    """The store answered that it cannot do this now, such as `LOADING ...`; nothing was done."""


class StoreTimeout(StoreUnavailable):
    """The store did not answer in time: whether the command was carried out is not known."""


class CommandError(StoreError):
    """The store refused a command; the message is its own, such as `WRONGTYPE ...`."""


def _refusal(message: str) -> StoreError:
    """What an error reply means: that the store can do nothing for now, or that the command was wrong."""
    if message.startswith(_NOT_NOW):
        return StoreNotReady(f"the store cannot do it now: {message}")
    return CommandError(message)


class Connection(asyncio.Protocol):
    """A live connection: calls go out, answers and pushes come in. Made by `connect`."""

    def __init__(
        self, writer: asyncio.StreamWriter, timeout: float, on_push: Callable[[list[Any]], None], name: str
    ) -> None:
        self._writer = writer  # held, for its destructor would close the transport
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self._timeout = timeout
        self._on_push = on_push
        self._seconds = STORE_SECONDS.labels(name)
        self._missed = DEADLINES_MISSED.labels(name)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_refusal)
        self._outgoing: list[bytes] = []
        # (deadline, who waits); None stands for what a transaction queues: only its refusals mean anything.
        self._waiting: deque[tuple[float, asyncio.Future[Reply] | None]] = deque()
        self._not_queued: StoreError | None = None  # the first refusal in the transaction that is being answered
        self._heard_at = self._loop.time()
        self._sweep: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    def call(self, *command: Argument) -> asyncio.Future[Reply]:
        """Send one command with the others of this loop turn; its reply, or a `StoreError`."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._send(command, future)
        return future

    def transaction(self, *commands: tuple[Argument, ...]) -> asyncio.Future[list[Reply]]:
        """Send `MULTI`, the commands and `EXEC`; the list of replies, in which a failed command is a `CommandError`.

        Where the store refuses to queue a command, nothing is done and the call fails with that refusal.
        """
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._send(("MULTI",), None)
        for command in commands:
            self._send(command, None)
        self._send(("EXEC",), future)
        return future

    async def lost(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.shield(self._lost)

    def when_lost(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the connection is gone."""
        self._lost.add_done_callback(lambda _: callback())

    def check(self) -> None:
        """Raise `StoreUnavailable` when the connection is gone."""
        if self._lost.done():
            raise StoreUnavailable("the connection to the store was lost")

    def close(self) -> None:
        """Drop the connection; whoever waits for an answer gets `StoreUnavailable`."""
        self._transport.abort()
        self.connection_lost(None)

    def _send(self, command: tuple[Argument, ...], future: asyncio.Future[Reply] | None) -> None:
        if self._lost.done() or len(self._waiting) >= MAX_WAITING_CALLS:
            if future is not None:
                reason = "is not reachable" if self._lost.done() else "is too far behind"
                _fail(future, StoreUnavailable(f"the store {reason}"))
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub wants a 1-tuple
        self._waiting.append((self._loop.time() + self._timeout, future))
        if len(self._outgoing) >= FLUSH_CALLS:
            self._flush()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._timeout, self._fail_overdue)

    def _flush(self) -> None:
        if self._outgoing and not self._lost.done():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _fail_overdue(self) -> None:
        """Fail the calls whose time is up. Answers come in order, so those are at the head of the queue.

        They keep their places, for their answers may still come and must be skipped then.
        """
        self._sweep = None
        now = self._loop.time()
        for deadline, future in self._waiting:
            if deadline > now:
                self._sweep = self._loop.call_at(deadline, self._fail_overdue)
                break
            if future is not None and not future.done():
                self._missed.inc()
                _fail(future, StoreTimeout(f"the store did not answer within {self._timeout:g} s"))
        if self._waiting and self._waiting[0][0] <= now and now - self._heard_at >= self._timeout:
            self._give_up()

    def _give_up(self) -> None:
        """Leave a connection that says nothing. The sweep goes on and fails the younger calls when their time is up."""
        if not self._lost.done():
            self._lost.set_result(None)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, hiredis.PushNotification):
                self._on_push(reply)
            else:
                self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        """Give a reply to the call that has waited longest."""
        deadline, future = self._waiting.popleft()
        if future is not None:
            self._seconds.observe(self._heard_at - (deadline - self._timeout))
        if not isinstance(reply, StoreError):
            if future is not None and not future.done():
                future.set_result(reply)
        elif future is None:
            self._not_queued = self._not_queued or reply
        else:
            if str(reply).startswith("EXECABORT"):
                reply, self._not_queued = self._not_queued or reply, None
            _fail(future, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost.done():
            return
        self._lost.set_result(None)
        if self._sweep is not None:
            self._sweep.cancel()
        for _, future in self._waiting:
            _fail(future, StoreUnavailable("the connection to the store was lost"))
        self._waiting.clear()


def _fail(future: asyncio.Future[Reply] | None, error: StoreError) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
        future.exception()  # seen: whoever has failed already by another of his calls does not take this one


def _ignore_push(push: list[Any]) -> None:
    pass


async def connect(
    url: str, timeout: float, on_push: Callable[[list[Any]], None] = _ignore_push, name: str = "store"
) -> Connection:
    """Open a link to `url`, whose calls have `timeout` seconds each; `StoreUnavailable` says why it cannot be had.

    `name` is the one by which the metrics have it.
    """
    try:
        pool = ConnectionPool.from_url(
            url,
            protocol=3,
            socket_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        connection = pool.make_connection()  # type: ignore[no-untyped-call]  # untyped in redis-py
    except (ValueError, TypeError) as error:
        raise StoreUnavailable(f"the store's URL cannot be used: {error}") from None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await connection.connect()
    except (RedisError, OSError) as error:
        refused = isinstance(error.__cause__ or error, AuthenticationError)  # wrapped when it came by a unix socket
        what = "refused the login" if refused else "is not reachable"
        raise StoreUnavailable(f"the store {what}: {str(error) or 'no answer'}") from None  # timeouts have no text
    # The one private attribute of redis-py in this project, held by tests of this module against every store.
    writer: asyncio.StreamWriter = connection._writer
    connection._reader = connection._writer = None  # its destructor must not close what is ours now
    return Connection(writer, timeout, on_push, name)


async def reconnecting(
    url: str, timeout: float, on_push: Callable[[list[Any]], None] = _ignore_push, name: str = "store"
) -> AsyncGenerator[Connection, None]:
    """Links without end: a new one whenever the last is lost or was closed, after a short random pause."""
    pause = _FIRST_PAUSE_SECONDS
    complained = False
    while True:
        try:
            link = await connect(url, timeout, on_push, name)
        except StoreUnavailable as error:
            if not complained:
                log.error("%s; trying again until it is back", error)
            complained = True
        else:
            if complained:
                log.info("the store is back")
            complained = False
            connected_at = time.monotonic()
            try:
                yield link
            finally:
                link.close()
            if time.monotonic() - connected_at > _MAX_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS  # else it was of no use, and the next may not be either
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, _MAX_PAUSE_SECONDS)
