"""Subscriptions of states: what a consumer gets that needs no SSE bytes."""

import asyncio
from typing import Any

import pytest

from sse_auction.auction.version import Version
from tests.support.hubs import make_hub, state


async def following(states: Any) -> tuple[str, str | None] | None:
    """The next state's auction and price."""
    update = await asyncio.wait_for(anext(states), 5)
    return update and (update.state.guid, update.state.price)


async def test_a_slow_consumer_gets_the_newest_state_of_each_auction() -> None:
    hub, _ = make_hub()
    with hub.watch(["g", "h"]) as states:
        for rev in range(1, 1001):
            hub.publish(state(rev, f"{rev}.00"))
            hub.publish(state(rev, f"{rev}.50", guid="h"))
        assert [await following(states), await following(states)] == [("g", "1000.00"), ("h", "1000.50")]
        assert states.queue.empty()


async def test_a_newcomer_gets_what_it_has_not_seen() -> None:
    hub, _ = make_hub()
    with hub.watch(["g"]):
        hub.publish(state(5, "5.00"))
        with (
            hub.watch(["g"], Version.of_tag(state(4, "4.00").tag)) as behind,
            hub.watch(["g"], Version.of_tag(state(5, "5.00").tag)) as same,
        ):
            assert await following(behind) == ("g", "5.00")
            hub.publish(state(6, "6.00"))
            assert await following(same) == await following(behind) == ("g", "6.00")


async def test_none_says_that_prices_are_not_live_and_all_states_follow_when_they_are() -> None:
    hub, _ = make_hub()
    with hub.watch(["g", "h"]) as states:
        hub.publish(state(1, "1.00"))
        hub.publish(state(1, "1.50", guid="h"))
        assert [await following(states), await following(states)] == [("g", "1.00"), ("h", "1.50")]
        hub.set_live(False)
        assert await following(states) is None
        hub.publish(state(2, "2.00"))  # read again before prices are said to be live
        hub.set_live(True)
        assert [await following(states), await following(states)] == [("g", "2.00"), ("h", "1.50")]
    hub.set_live(False)
    with hub.watch(["g"]) as late:
        assert await following(late) is None


async def test_a_step_that_was_cancelled_loses_nothing() -> None:
    hub, _ = make_hub()
    with hub.watch(["g"]) as states:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(states), 0.01)
        hub.publish(state(1, "1.00"))
        assert await following(states) == ("g", "1.00")


async def test_an_ending_does_not_end_it_and_a_drain_does() -> None:
    hub, source = make_hub()
    with hub.watch(["g"]) as states:
        final = state(1, "1.00", now=10**9)
        assert final.is_final
        hub.publish(final)
        assert await following(states) == ("g", "1.00")
        hub.drain(0)
        assert [update async for update in states] == []
    assert source.guids == []
