"""The store's clock as a process knows it: never ahead of the store's, never before the store's last answer.

The clock alone against a simulated store's: delays, drift, steps. Then the service: what it says of an auction that was
created a moment ago.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_auction.store.clock import StoreClock
from tests.support.connections import slow_line
from tests.support.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bidder,
    create,
    now_ms,
    open_stream,
    running_server,
    server_process,
    stream_url,
)

SECOND_US = 1_000_000


@dataclass
class World:
    """Two clocks, in µs: the one of this process, and the store's, which drifts and can be set."""

    moment: int = 5_000 * SECOND_US
    store: float = 1_700_000_000.0 * SECOND_US
    drift_ppm: int = 0

    def pass_by(self, microseconds: int) -> None:
        self.moment += microseconds
        self.store += microseconds * (1 + self.drift_ppm / SECOND_US)

    def ask(self, facts: StoreClock, there: int, back: int, *, script: bool) -> int:
        """One question to the store, with that delay there and back; the answer, in epoch ms."""
        asked_at = facts.moment()
        self.pass_by(there)
        told_us = int(self.store)
        self.pass_by(back)
        if script:
            facts.take_now(told_us // 1000, asked_at)
            return told_us // 1000
        return facts.take_time([b"%d" % part for part in divmod(told_us, SECOND_US)], asked_at)

    def shows_ms(self) -> int:
        """The store's clock; clocks cannot be compared to less than a microsecond."""
        return (int(self.store) + 1) // 1000


delays = st.integers(0, 2 * SECOND_US) | st.integers(0, 500)
questions = st.tuples(st.integers(0, 100 * SECOND_US) | st.integers(0, 2000), delays, delays, st.booleans())
drifts = st.integers(-900, 900)


@given(st.lists(st.tuples(questions, drifts), min_size=1, max_size=30))
def test_it_is_never_ahead_of_the_store_nor_before_its_last_answer(
    steps: list[tuple[tuple[int, int, int, bool], int]],
) -> None:
    world = World()
    facts = StoreClock(lambda: world.moment)
    least = 0
    for (pause, there, back, script), world.drift_ppm in steps:
        least = max(least, world.ask(facts, there, back, script=script))
        for part in (0, pause // 2, pause - pause // 2):
            world.pass_by(part)
            assert least <= facts.now() <= world.shows_ms()
            least = facts.now()
    assert facts.times_set == 0, "no one has set it"


@given(st.lists(questions, min_size=1, max_size=10), st.integers(0, 500), st.integers(0, 500))
def test_quick_answers_bound_it_closely_whatever_came_before(
    before: list[tuple[int, int, int, bool]], there: int, back: int
) -> None:
    world = World()
    facts = StoreClock(lambda: world.moment)
    for pause, *delays, script in before:
        world.ask(facts, *delays, script=script)
        world.pass_by(pause)
    world.ask(facts, there, back, script=False)
    assert world.shows_ms() - facts.now() <= 1
    world.ask(facts, 2 * SECOND_US, 2 * SECOND_US, script=False)
    assert world.shows_ms() - facts.now() <= 6, "a slow answer takes nothing away: drift does, a millisecond a second"


@given(
    st.lists(questions, min_size=1, max_size=10),
    st.integers(10, 10_000) | st.integers(-10_000, -10),
    st.lists(questions, min_size=1, max_size=10),
)
def test_after_the_stores_clock_was_set_the_first_answer_is_right_again(
    before: list[tuple[int, int, int, bool]], seconds: int, after: list[tuple[int, int, int, bool]]
) -> None:
    world = World()
    facts = StoreClock(lambda: world.moment)
    for pause, there, back, script in before:
        world.ask(facts, there, back, script=script)
        world.pass_by(pause)
    world.store += seconds * SECOND_US
    least = 0
    for pause, there, back, script in after:
        least = max(least, world.ask(facts, there, back, script=script))
        assert least <= facts.now() <= world.shows_ms()
        world.pass_by(pause)
    assert facts.times_set <= 1
    if sum(pause for pause, *_ in before) < SECOND_US:
        assert facts.times_set == 1, "and the change of the clock is detected"


def test_before_the_stores_first_answer_the_machines_clock_is_used() -> None:
    facts = StoreClock(lambda: 0)
    assert facts.now() > 1_700_000_000_000


# --- what the service says -----------------------------------------------------------------------------------------

AUCTIONS = 500
AT_ONCE = 20  # connections: more would only measure how the machine shares its time


@pytest.fixture(scope="module")
def other(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another process on the same store."""
    with running_server(tmp_path_factory.mktemp("other"), REDIS_URL=valkey.url) as running:
        yield running


@asynccontextmanager
async def many_clients() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=2 * AT_ONCE), timeout=30) as client:
        yield client


async def create_now(client: httpx.AsyncClient, server: Server, guid: str) -> dict[str, Any]:
    """The state of an auction that opens with its creation."""
    body = {"guid": guid, "title": "Lot", "start_price": "10.00", "closes_at": now_ms() + 3_600_000}
    reply = await client.post(f"{server.url}/auctions", json=body, headers=OPERATOR)
    assert reply.status_code == 201, reply.text
    state: dict[str, Any] = reply.json()["state"]
    return state


def check_open(made: dict[str, Any], shown: dict[str, Any]) -> None:
    assert (made["status"], shown["status"]) == ("open", "open")
    assert shown["tag"] == made["tag"]
    assert made["now"] >= made["opens_at"]
    assert shown["now"] >= shown["opens_at"]


@pytest.mark.parametrize("reader", ["service", "other"])
async def test_an_auction_created_without_an_opening_is_open_for_every_reader(
    request: pytest.FixtureRequest, service: Server, guid: str, reader: str
) -> None:
    asked: Server = request.getfixturevalue(reader)
    async with many_clients() as client:

        async def visit(number: int) -> None:
            for each in range(number, AUCTIONS, AT_ONCE):
                name = f"{guid}-{each}"
                made = await create_now(client, service, name)
                check_open(made, (await client.get(f"{asked.url}/auctions/{name}/price")).json())
                check_open(made, (await client.get(f"{asked.url}/auctions/{name}")).json()["state"])

        await asyncio.gather(*map(visit, range(AT_ONCE)))


@asynccontextmanager
async def behind_a_line(
    directory: Path, store: StoreProcess, *, there: float = 0.0, back: float = 0.0
) -> AsyncIterator[Server]:
    """The service on a store with a delay on the mirror's way there and on its way back, in seconds."""
    async with slow_line(directory, store, there=there, back=back, after=b"TRACKING") as url:
        server = server_process(directory, REDIS_URL=url)
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("line", [{"there": 0.3}, {"back": 0.3}])
async def test_what_opens_at_once_is_open_however_far_away_the_store_is(
    valkey: StoreProcess, service: Server, directory: Path, guid: str, line: dict[str, float]
) -> None:
    """A clock that assumes the middle of question and answer would open it 150 ms off its time."""
    async with behind_a_line(directory, valkey, **line) as server, many_clients() as client:

        async def visit(number: int) -> None:
            name = f"{guid}-{number}"
            async with open_stream(stream_url(server, name)) as stream:
                await stream.next("price")
                made = await create_now(client, (service, server)[number % 2], name)
                check_open(made, (await client.get(f"{server.url}/auctions/{name}")).json()["state"])
                check_open(made, (await stream.next("price")).data)
            unwatched = f"{guid}-unwatched-{number}"
            made = await create_now(client, (service, server)[number % 2], unwatched)
            check_open(made, (await client.get(f"{server.url}/auctions/{unwatched}/price")).json())

        await asyncio.gather(*map(visit, range(AT_ONCE)))


async def shown_by_stream(server: Server, guid: str) -> str:
    """The first status that is not `upcoming`, or `upcoming` where a busy service ended the stream before."""
    with suppress(StopAsyncIteration):
        async with open_stream(stream_url(server, guid)) as stream:
            while (status := (await stream.next("price")).data["status"]) == "upcoming":
                pass
            return str(status)
    return "upcoming"


@pytest.mark.parametrize("line", [{"there": 0.3}, {"back": 0.3}])
async def test_nothing_is_shown_open_before_it_takes_bids(
    valkey: StoreProcess, service: Server, directory: Path, guid: str, line: dict[str, float]
) -> None:
    async with behind_a_line(directory, valkey, **line) as server, many_clients() as client:

        async def visit(number: int) -> None:
            name = f"{guid}-{number}"
            opens_at = now_ms() + 1000
            await asyncio.to_thread(create, service, name, opens_at=opens_at)
            if number % 2:
                while await shown_by_stream(server, name) == "upcoming":
                    pass
            else:
                while (await client.get(f"{server.url}/auctions/{name}/price")).json()["status"] == "upcoming":
                    pass
            url, headers = f"{service.url}/auctions/{name}/bids", bidder("ann")
            reply = await client.post(url, json={"price": "10.00"}, headers=headers)
            assert reply.status_code == 201, reply.text

        await asyncio.gather(*map(visit, range(AT_ONCE)))


@pytest.mark.parametrize("reader", ["service", "other"])
async def test_it_is_open_also_where_it_was_waited_for(
    request: pytest.FixtureRequest, service: Server, guid: str, reader: str
) -> None:
    """An auction that is watched before it exists: its first state is open, and no poll shows less."""
    asked: Server = request.getfixturevalue(reader)
    async with many_clients() as client:

        async def visit(number: int) -> None:
            for each in range(number, AUCTIONS // 10, AT_ONCE):
                name = f"{guid}-{each}"
                async with open_stream(stream_url(asked, name)) as stream:
                    assert (await stream.next("price")).data["status"] == "unknown"
                    made = await create_now(client, service, name)
                    check_open(made, (await stream.next("price")).data)
                    check_open(made, (await client.get(f"{asked.url}/auctions/{name}/price")).json())

        await asyncio.gather(*map(visit, range(AT_ONCE)))


async def test_two_workers_answer_the_same(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url, WEB_CONCURRENCY="2") as server:
        for number in range(AUCTIONS // 10):  # one client each: any worker may serve it
            name = f"{guid}-{number}"
            async with httpx.AsyncClient(timeout=30) as maker, httpx.AsyncClient(timeout=30) as reader:
                made = await create_now(maker, server, name)
                check_open(made, (await reader.get(f"{server.url}/auctions/{name}/price")).json())
