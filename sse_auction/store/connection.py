"""One pipelined connection to the store.

redis-py reads the URL, opens the socket (TCP, TLS or unix), logs in and switches to RESP3. Then this module takes
over the connection's transport and speaks hiredis on it directly. Reasons: all calls of one turn of the event loop
leave in one write (those of a crowd in a few), each call has its own reply and its own deadline, and no task has to
wait for a push (an invalidation).

Rules:
- No command is sent twice, because a bid must not count twice.
- A call without a reply in time raises `StoreTimeout`: its outcome is unknown.
- A connection that delivered nothing for a whole deadline is abandoned. The calls that still wait on it fail each at
  its own deadline, not sooner, because a store that resumes may still execute them.
- This module knows nothing about auctions.
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

MAX_WAITING_CALLS = 50_000  # beyond this the store is so far behind that a further call would time out
FLUSH_CALLS = 16  # sent before the turn ends, so that the store can start with the first bids of a crowd
CONNECT_TIMEOUT_SECONDS = 1.0  # a frozen server accepts and sends nothing; the next attempt must follow soon
_FIRST_PAUSE_SECONDS = 0.05  # between attempts
_MAX_PAUSE_SECONDS = 0.5  # prices must be live again within 2 s of the store's return
_NOT_NOW = ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "MISCONF", "OOM", "NOREPLICAS", "TRYAGAIN")


class StoreError(Exception):
    """A call to the store failed. The message is a sentence."""


class StoreUnavailable(StoreError):
    """The store is not reachable, or the connection was lost before the reply: then the outcome is unknown."""


class StoreNotReady(StoreUnavailable):
    """The store replied that it cannot execute the command now, such as `LOADING ...`. Nothing was executed."""


class StoreTimeout(StoreUnavailable):
    """The store did not reply in time. Outcome unknown: the command may have been executed."""


class CommandError(StoreError):
    """The store refused a command. The message is the store's own, such as `WRONGTYPE ...`."""


def _refusal(message: str) -> StoreError:
    """The error for an error reply: `StoreNotReady` for a temporary condition, else `CommandError`."""
    if message.startswith(_NOT_NOW):
        return StoreNotReady(f"the store cannot execute commands now: {message}")
    return CommandError(message)


class Connection(asyncio.Protocol):
    """A live connection: it sends calls and receives replies and pushes. `connect` makes it."""

    def __init__(
        self, writer: asyncio.StreamWriter, timeout: float, on_push: Callable[[list[Any]], None], name: str
    ) -> None:
        self._writer = writer  # kept, because its destructor would close the transport
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self._timeout = timeout
        self._on_push = on_push
        self._seconds = STORE_SECONDS.labels(name)
        self._missed = DEADLINES_MISSED.labels(name)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_refusal)
        self._outgoing: list[bytes] = []
        # (deadline, future); None for the commands inside a transaction: only their refusals have a meaning.
        self._waiting: deque[tuple[float, asyncio.Future[Reply] | None]] = deque()
        self._not_queued: StoreError | None = None  # the first refusal in the transaction that is being answered
        self._heard_at = self._loop.time()
        self._sweep: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    def call(self, *command: Argument) -> asyncio.Future[Reply]:
        """Send one command together with the others of this loop turn; the future holds its reply.

        Raises: `CommandError` and `StoreNotReady` (nothing was executed), `StoreTimeout` (outcome unknown),
        `StoreUnavailable` (outcome unknown when the connection was lost after sending).
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._send(command, future)
        return future

    def transaction(self, *commands: tuple[Argument, ...]) -> asyncio.Future[list[Reply]]:
        """Send `MULTI`, the commands and `EXEC`; the future holds the list of replies.

        A command that failed is a `CommandError` in that list. When the store refuses to queue a command, nothing is
        executed and the call fails with that refusal. Raises: as `call`.
        """
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._send(("MULTI",), None)
        for command in commands:
            self._send(command, None)
        self._send(("EXEC",), future)
        return future

    async def lost(self) -> None:
        """Wait until the connection is closed or abandoned."""
        await asyncio.shield(self._lost)

    def when_lost(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the connection is closed or abandoned."""
        self._lost.add_done_callback(lambda _: callback())

    def check(self) -> None:
        """Raise `StoreUnavailable` when the connection is closed or abandoned."""
        if self._lost.done():
            raise StoreUnavailable("the connection to the store was lost")

    def close(self) -> None:
        """Drop the connection. Calls that wait for a reply fail as `StoreUnavailable`: their outcome is unknown."""
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
        """Fail the calls that are past their deadline. Replies arrive in order, so these are at the queue's head.

        They stay in the queue, because their replies may still arrive and must be skipped then.
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
        """Abandon a connection that delivers nothing. The sweep continues and fails later calls at their deadlines."""
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
        """Give a reply to the oldest call."""
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
        future.exception()  # mark as retrieved: a caller that already failed on another call never awaits this one


def _ignore_push(push: list[Any]) -> None:
    pass


async def connect(
    url: str, timeout: float, on_push: Callable[[list[Any]], None] = _ignore_push, name: str = "store"
) -> Connection:
    """Open a connection to `url`. Each of its calls has a deadline of `timeout` seconds.

    `name` is the connection's label in the metrics. Raises: `StoreUnavailable` with the reason as a sentence.
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
        refused = isinstance(error.__cause__ or error, AuthenticationError)  # redis-py wraps it on a unix socket
        what = "refused the login" if refused else "is not reachable"
        raise StoreUnavailable(f"the store {what}: {str(error) or 'no answer'}") from None  # timeouts have no text
    # Private attributes of redis-py, used only here. Tests of this module check them against each kind of store.
    writer: asyncio.StreamWriter = connection._writer
    connection._reader = connection._writer = None  # its destructor must not close the transport
    return Connection(writer, timeout, on_push, name)


async def reconnecting(
    url: str, timeout: float, on_push: Callable[[list[Any]], None] = _ignore_push, name: str = "store"
) -> AsyncGenerator[Connection, None]:
    """Endless connections: a new one after each that was lost or closed, with a short random pause between them."""
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
                pause = _FIRST_PAUSE_SECONDS  # a connection that is lost at once does not shorten the pause
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, _MAX_PAUSE_SECONDS)
