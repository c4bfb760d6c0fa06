"""One pipelined connection, on both event loops and against both stores: its order, its deadlines, its end."""

import asyncio
import logging
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from math import ceil
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from sse_auction.store import connection as connection_module
from sse_auction.store.connection import (
    FLUSH_CALLS,
    CommandError,
    Connection,
    StoreNotReady,
    StoreTimeout,
    StoreUnavailable,
    reconnecting,
)
from tests.support.connections import have_come, open_connection
from tests.support.harness import StoreProcess, free_port, running_store, until, until_async

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)

SHORT_SECONDS = 1.0  # a deadline that passes in the tests of deadlines, and is kept on a busy machine in the others
BUSY_AFTER_MS = 50


@pytest.fixture(scope="module", params=["valkey", "redis"])
def own_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store that a test may freeze, because no other test uses it; it also listens on TCP, with short queues."""
    options = ["--port", str(free_port()), "--tcp-backlog", "2", "--busy-reply-threshold", str(BUSY_AFTER_MS)]
    with running_store(request.param, tmp_path_factory.mktemp("connection"), *options) as running:
        yield running


@pytest.fixture
def tcp_url(own_store: StoreProcess) -> str:
    with own_store.client() as client:
        return f"redis://127.0.0.1:{client.config_get('port')['port']}"


@pytest.fixture
def site(own_store: StoreProcess) -> Iterator[redis.Redis]:
    """Another program at the same store; the store is empty first, and not paused afterwards."""
    with own_store.client() as client:
        client.flushall()
        yield client
        own_store.send_signal(signal.SIGCONT)


def segments_sent(connection: Connection) -> int:
    """How many writes with data have left the connection's TCP socket, as the kernel counts them."""
    info = connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    count: int = struct.unpack_from("<I", info, 156)[0]  # tcpi_data_segs_out
    return count


# --- calls and answers -------------------------------------------------------------------------------------------


async def test_calls_of_one_turn_are_sent_together_and_each_has_its_own_answer(tcp_url: str, site: redis.Redis) -> None:
    async with open_connection(tcp_url) as connection:
        before = segments_sent(connection)
        few = [connection.call("ECHO", number) for number in range(FLUSH_CALLS - 1)]
        await asyncio.gather(*few)
        assert segments_sent(connection) - before == 1, "one write"
        before = segments_sent(connection)
        calls = [connection.call("ECHO", number) for number in range(200)]
        calls.append(connection.transaction(("SET", "k", "v"), ("GET", "k")))
        calls.append(connection.call("ECHO", b"\x00\xff\r\n"))
        answers = await asyncio.gather(*calls)
        commands = 200 + 4 + 1  # a transaction is MULTI, its commands, and EXEC
        written = ceil(commands / FLUSH_CALLS)
        assert segments_sent(connection) - before == written, (
            "many calls leave in several writes, for the store to begin earlier"
        )
        assert answers == [*(b"%d" % number for number in range(200)), [b"OK", b"v"], b"\x00\xff\r\n"]
        await asyncio.gather(connection.call("PING"), connection.call("PING"))
        await connection.call("PING")
        assert segments_sent(connection) - before == written + 2, "later turns have their own writes"


async def test_a_refused_command_fails_its_own_call_and_no_other(store: StoreProcess) -> None:
    async with open_connection(store.url) as connection:
        wrong, right = connection.call("NO-SUCH-COMMAND"), connection.call("ECHO", "here")
        with pytest.raises(CommandError, match="unknown command"):
            await wrong
        assert await right == b"here"


async def test_an_error_inside_a_transaction_stands_in_its_place(store: StoreProcess, guid: str) -> None:
    async with open_connection(store.url) as connection:
        done = await connection.transaction(("SET", guid, "v"), ("LPUSH", guid, "x"), ("GET", guid))
        assert (done[0], done[2]) == (b"OK", b"v")
        assert isinstance(done[1], CommandError)
        assert str(done[1]).startswith("WRONGTYPE")


async def test_a_transaction_with_a_command_that_cannot_be_queued_does_nothing_and_says_why(
    store: StoreProcess, guid: str
) -> None:
    async with open_connection(store.url) as connection:
        refused = connection.transaction(("SET", guid, "v"), ("NO-SUCH-COMMAND",), ("GET",))
        after = connection.call("EXISTS", guid)
        with pytest.raises(CommandError, match="NO-SUCH-COMMAND"):
            await refused
        assert await after == 0


async def test_a_store_that_is_busy_with_a_script_is_unavailable_and_not_wrong(
    own_store: StoreProcess, site: redis.Redis
) -> None:
    async def is_busy(connection: Connection) -> bool:
        try:
            await connection.call("GET", "k")
        except StoreNotReady as error:
            return "BUSY" in str(error)
        return False

    async with open_connection(own_store.url) as connection, open_connection(own_store.url) as other:
        endless = other.call("EVAL", "while true do end", 0)
        await until_async(lambda: is_busy(connection), "the store's being busy")
        with pytest.raises(StoreNotReady, match="BUSY"):
            await connection.transaction(("GET", "k"), ("GET", "k"))
        await connection.call("SCRIPT", "KILL")
        with pytest.raises(CommandError, match="killed"):
            await endless
        assert await connection.transaction(("GET", "k")) == [None]


async def test_pushes_come_between_answers(store: StoreProcess, guid: str) -> None:
    pushes: list[list[Any]] = []
    async with open_connection(store.url, on_push=pushes.append) as connection:
        await connection.call("CLIENT", "TRACKING", "ON")
        for number in range(3):
            await connection.call("GET", guid)
            with store.client() as client:
                client.set(guid, number)
            await until_async(partial(have_come, pushes), "the invalidation")
            assert pushes.pop() == [b"invalidate", [guid.encode()]]
            assert await connection.call("ECHO", "x") == b"x"


# --- deadlines ---------------------------------------------------------------------------------------------------


async def test_a_late_answer_is_skipped_and_later_answers_reach_their_own_calls(
    own_store: StoreProcess, site: redis.Redis
) -> None:
    """The connection receives pushes all the time, so it is not given up; only the one call takes too long."""
    pushes: list[list[Any]] = []
    async with open_connection(own_store.url, SHORT_SECONDS, on_push=pushes.append) as connection:
        await connection.call("CLIENT", "TRACKING", "ON", "BCAST")
        late = connection.call("BLPOP", "queue", 0)
        abandoned = connection.call("ECHO", "abandoned")
        abandoned.cancel()
        while not late.done():
            seen = len(pushes)
            site.incr("noise")
            await until_async(partial(have_come, pushes, seen + 1), "the push")
        with pytest.raises(StoreTimeout, match=f"within {SHORT_SECONDS:g} s"):
            await late
        connection.check()
        answer = connection.call("ECHO", "mine")
        site.rpush("queue", "too late")
        assert await answer == b"mine"
        assert await connection.call("ECHO", "next") == b"next"


async def test_a_silent_connection_is_given_up_but_its_younger_calls_have_their_whole_time(
    own_store: StoreProcess, site: redis.Redis
) -> None:
    """A store that thaws may execute what it received: a call must not fail while that is possible."""
    loop = asyncio.get_running_loop()
    timeout = 2.0  # long enough to tell the two deadlines apart on a busy machine
    async with open_connection(own_store.url, timeout) as connection:
        await connection.call("PING")
        own_store.send_signal(signal.SIGSTOP)
        first = connection.call("GET", "k")
        await asyncio.sleep(timeout / 2)
        sent_at = loop.time()
        second = connection.transaction(("GET", "k"))
        await connection.lost()
        with pytest.raises(StoreTimeout):
            await first
        assert not second.done()
        with pytest.raises(StoreTimeout):
            await second
        assert round(loop.time() - sent_at, 3) >= timeout  # the loop counts milliseconds
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await connection.call("PING")


async def test_a_frozen_store_gets_nothing_twice(own_store: StoreProcess, site: redis.Redis) -> None:
    async with aclosing(reconnecting(own_store.url, SHORT_SECONDS)) as connections:
        connection = await anext(connections)
        own_store.send_signal(signal.SIGSTOP)
        calls = [connection.call("INCR", f"count-{number}") for number in range(20)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in failures} == {StoreTimeout}
        own_store.send_signal(signal.SIGCONT)
        connection = await anext(connections)
        await connection.call("PING")
    counts = site.mget([f"count-{number}" for number in range(20)])
    assert set(counts) <= {None, "1"}


async def test_more_calls_than_a_store_can_answer_in_time_are_refused_at_once(
    own_store: StoreProcess, site: redis.Redis
) -> None:
    async with open_connection(own_store.url) as connection:
        await connection.call("PING")
        calls = [connection.call("PING") for _ in range(connection_module.MAX_WAITING_CALLS + 1)]
        with pytest.raises(StoreUnavailable, match="too far behind"):
            await calls[-1]
        assert set(await asyncio.gather(*calls[:-1])) == {b"PONG"}


# --- the end of a connection, and the next -----------------------------------------------------------------------


async def test_a_lost_connection_fails_what_waits_at_once(own_store: StoreProcess, site: redis.Redis) -> None:
    async with open_connection(own_store.url) as connection:
        number = await connection.call("CLIENT", "ID")
        lost: list[bool] = []
        connection.when_lost(lambda: lost.append(True))
        calls = [connection.call("BLPOP", "queue", 0), connection.call("PING"), connection.transaction(("PING",))]
        await asyncio.to_thread(until, lambda: site.client_list(client_id=[number])[0]["cmd"] == "blpop")
        site.client_kill_filter(_id=number)
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            assert type(failure) is StoreUnavailable
            assert "lost" in str(failure)
        await connection.lost()
        assert lost == [True]
        with pytest.raises(StoreUnavailable, match="lost"):
            connection.check()
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await connection.call("PING")


async def test_closing_fails_what_waits(store: StoreProcess, guid: str) -> None:
    async with open_connection(store.url) as connection:
        call = connection.call("BLPOP", guid, 0)
        connection.close()
        with pytest.raises(StoreUnavailable):
            await call


async def test_failures_that_no_task_awaits_make_no_noise(own_store: StoreProcess, site: redis.Redis) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with open_connection(own_store.url) as connection:
        connection.call("NO-SUCH-COMMAND")
        await connection.call("PING")
        connection.call("PING")
    connection.call("PING")
    await asyncio.sleep(0)
    assert complaints == []


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_a_connection_comes_back_after_a_restart_and_after_a_freeze_that_filled_the_queue(
    own_store: StoreProcess, tcp_url: str, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_store.url if transport == "unix" else tcp_url

    async def has_complained(times: int) -> bool:
        return caplog.text.count("trying again until it is back") == times

    with caplog.at_level(logging.INFO):
        async with aclosing(reconnecting(url, SHORT_SECONDS)) as connections:
            connection = await anext(connections)
            await asyncio.to_thread(own_store.stop)
            await connection.lost()
            coming = asyncio.ensure_future(anext(connections))
            await until_async(partial(has_complained, 1), "a log line")
            await asyncio.to_thread(own_store.start)
            connection = await coming
            assert await connection.call("PING") == b"PONG"

            own_store.send_signal(signal.SIGSTOP)
            waiting = [socket_to(url) for _ in range(8)]  # more than its queue takes
            with pytest.raises(StoreTimeout):
                await connection.call("PING")
            coming = asyncio.ensure_future(anext(connections))
            await until_async(partial(has_complained, 2), "a failed attempt to reach the frozen store")
            own_store.send_signal(signal.SIGCONT)
            connection = await coming
            assert await connection.call("PING") == b"PONG"
            for each in waiting:
                each.close()
        assert await has_complained(2), "more than one line for one outage"


def socket_to(url: str) -> socket.socket:
    """A connection attempt that does not wait for its success."""
    parts = urlsplit(url)
    waiting = socket.socket(socket.AF_UNIX if parts.scheme == "unix" else socket.AF_INET)
    waiting.setblocking(False)
    waiting.connect_ex(parts.path if parts.scheme == "unix" else ("127.0.0.1", parts.port))
    return waiting
