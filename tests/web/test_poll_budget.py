"""The budget of a turn: first come, first served, within a bound; no caller is forgotten."""

import asyncio

import pytest

from sse_auction.web.poll_budget import PollBudget

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)


async def test_a_turn_serves_a_fixed_number_in_order_of_arrival() -> None:
    budget, entered, turn = PollBudget(3, 100), [], 0

    async def enter(number: int) -> None:
        assert await budget.acquire()
        entered.append((turn, number))

    tasks = [asyncio.create_task(enter(number)) for number in range(10)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn += 1
    assert [number for _, number in entered] == list(range(10))
    turns = [when for when, _ in entered]
    assert max(turns.count(when) for when in turns) == 3
    assert len(set(turns)) == 4


async def test_a_caller_that_finds_the_queue_full_is_turned_away() -> None:
    budget = PollBudget(1, 2)
    answers = await asyncio.gather(*(budget.acquire() for _ in range(6)))
    assert answers == [True, True, True, False, False, False]
    assert await budget.acquire(), "it is open again"


async def test_a_caller_that_gives_up_takes_no_turn() -> None:
    budget = PollBudget(1, 100)
    tasks = [asyncio.create_task(budget.acquire()) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks[1:4]:
        task.cancel()
    assert await asyncio.wait_for(tasks[4], 1)
    assert [task.cancelled() for task in tasks] == [False, True, True, True, False]
