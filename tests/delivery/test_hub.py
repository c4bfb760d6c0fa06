"""The hub alone: its one-slot queues, guards and sweeps, with states that a test makes."""

import asyncio
import gc
import time
from contextlib import ExitStack
from dataclasses import replace

from sse_auction.auction.state import Record
from sse_auction.auction.version import Version
from sse_auction.delivery.hub import Hub
from sse_auction.delivery.subscriber import LatestQueue, Subscriber
from tests.support.hubs import TERMS, Watchlist, external, make_hub, prices, state


async def test_a_newer_state_replaces_the_waiting_one() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as slow:
        for rev in range(1, 1001):
            hub.publish(state(rev, f"{rev}.00"))
        assert slow.queue.qsize() == 2, "one place for the state, one for the retry field"
        assert prices(slow.queue.take_all()) == ["1000.00"]


async def test_nothing_replaces_an_ending() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as slow:
        hub.publish(state(1, "1.00"))
        hub.publish(state(1, "1.00", now=10**9))
        hub.publish(state(9, "9.00"))
        hub.set_live(False)
        hub.drain(0)
        got = [data async for data in slow]
    assert b"".join(got).count(b"event: ") == 1
    assert b"event: closed" in got[-1]


async def test_a_lower_revision_is_never_shown() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as viewer:
        hub.publish(state(5, "5.00"))
        viewer.queue.take_all()
        hub.publish(state(4, "4.00"))
        assert viewer.queue.take_all() == b""
        current = hub.state_of("g")
        assert current is not None
        assert current.state.price == "5.00"
        hub.publish(state(5, "5.00"))
        assert viewer.queue.take_all() == b"", "the same state is not sent again"


async def test_a_resumed_viewer_gets_only_more_than_it_has_seen() -> None:
    hub, _ = make_hub()
    tag = state(7, "7.00").tag
    with hub.subscribe(["g"], Version.of_tag(tag)) as ahead, hub.subscribe(["g"]) as other:
        ahead.queue.take_all()
        hub.publish(state(6, "6.00"))
        assert (prices(ahead.queue.take_all()), prices(other.queue.take_all())) == ([], ["6.00"])
        hub.publish(state(7, "7.00"))
        assert (prices(ahead.queue.take_all()), prices(other.queue.take_all())) == ([], ["7.00"])
        hub.publish(state(8, "8.00"))
        assert (prices(ahead.queue.take_all()), prices(other.queue.take_all())) == (["8.00"], ["8.00"])


async def test_leaving_leaves_nothing_behind() -> None:
    async def visit(hub: Hub, number: int) -> None:
        guids = [f"a{number % 97}", f"b{number % 89}"] if number % 3 else [f"a{number % 97}"]
        with hub.subscribe(guids, multi=len(guids) > 1) as viewer:
            hub.publish(state(number + 1, "1.00", guid=guids[0]))
            await anext(viewer)
            if number % 2:
                await asyncio.sleep(3600)

    hub, source = make_hub()
    before = len(asyncio.all_tasks())
    for start in range(0, 10_000, 500):
        visits = [asyncio.create_task(visit(hub, number)) for number in range(start, start + 500)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in visits:
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
    assert source.guids == []
    assert (hub._rooms, hub._subscribers, hub._wheel.is_empty) == ({}, set(), True)
    assert len(asyncio.all_tasks()) == before
    del visits, task  # their tracebacks hold their viewers, and so do the callbacks of this loop turn
    await asyncio.sleep(0)
    gc.collect()
    assert not any(isinstance(each, Subscriber) for each in gc.get_objects())


async def test_an_auction_is_watched_from_its_first_viewer_to_its_last() -> None:
    hub, source = make_hub()
    with hub.subscribe(["g"]):
        with hub.subscribe(["g", "h"], multi=True):
            assert source.guids == ["g", "h"]
        assert source.guids == ["g"]
    assert source.guids == []


async def test_a_viewer_that_fails_is_cleaned_up() -> None:
    hub, source = make_hub()
    try:
        with hub.subscribe(["g"]):
            raise ConnectionResetError
    except ConnectionResetError:
        pass
    assert source.guids == []


async def test_draining_turns_new_viewers_away_and_ends_all_streams() -> None:
    hub, _ = make_hub()
    sweep = asyncio.create_task(hub.run())
    with hub.subscribe(["g"]) as one, hub.subscribe(["g"]) as two:
        hub.publish(state(1, "1.00"))
        hub.drain(1.0)
        assert hub.busy_reason == "draining"
        for viewer in (one, two):
            received = b"".join([data async for data in viewer])
            assert prices(received) == ["1.00"]
            assert received.count(b"retry: ") >= 1
            assert viewer.end_reason == "draining"
    sweep.cancel()
    await asyncio.gather(sweep, return_exceptions=True)


async def test_no_stream_is_ended_in_the_last_moments_of_its_auction_if_the_window_allows() -> None:
    """Closings at every second from now: within the window, soon after it, and far away."""
    window = 60.0
    for closes_in in range(3, 120, 3):
        hub, _ = make_hub()
        terms = replace(TERMS, closes_at=1000 + closes_in * 1000)
        with ExitStack() as stack:
            viewers = [stack.enter_context(hub.subscribe(["g"])) for _ in range(50)]
            hub.publish(Record("g", terms, "1.00", rev=1).state(1000, "memory", "CNY"))
            began_at = time.monotonic()
            hub.drain(window)
            ends = [viewer.ends_at - began_at for viewer in viewers]
        assert all(0 <= end <= window for end in ends)
        if closes_in == 30:
            continue  # the quiet time begins now and ends half-way: the rest of the window is after the closing
        in_its_last_moments = [end for end in ends if closes_in - 30 < end < closes_in + 0.9]
        assert not in_its_last_moments or closes_in > 48 - 1, (closes_in, in_its_last_moments)
        if closes_in > 85:
            assert max(ends) - min(ends) > window / 3, "spread over the window"


async def test_heartbeats_come_in_silence_only_and_say_whether_prices_are_live() -> None:
    hub, _ = make_hub(heartbeat=1.5)
    sweep = asyncio.create_task(hub.run())
    with hub.subscribe(["g"]) as quiet, hub.subscribe(["h"]) as busy:
        quiet.queue.take_all()
        received = b""
        for rev in range(1, 8):
            hub.publish(state(rev, "1.00", guid="h"))
            received += busy.queue.take_all()
            await asyncio.sleep(0.3)
        assert b"event: hb" not in received
        assert b'event: hb\ndata: {"now":1000,"live":true}' in quiet.queue.take_all()
        hub.set_live(False)
        assert b'"live":false' in quiet.queue.take_all()
        hub.set_live(False)
        assert quiet.queue.take_all() == b"", "sent once"
    sweep.cancel()
    await asyncio.gather(sweep, return_exceptions=True)


async def test_a_state_that_time_has_changed_is_not_given_to_pollers() -> None:
    source = Watchlist()
    clock = [1000]
    hub = Hub(source, lambda: clock[0], heartbeat_seconds=9, stream_life_seconds=99, max_streams=9)
    hub.set_live(True)
    with hub.subscribe(["g"]):
        hub.publish(state(1, "1.00"))
        assert hub.state_of("g") is not None
        clock[0] = 10**9
        assert hub.state_of("g") is None, "it is closed by now; the store must be asked"


# --- announced states ------------------------------------------------------------------------------------------------


def shown(hub: Hub) -> str | None:
    """The price that a poller is shown."""
    newest = hub.state_of("g")
    assert newest is not None
    return newest.state.price


async def test_an_announced_state_is_shown_to_new_viewers_once_and_pushed_when_it_is_published() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as first:
        hub.publish(state(1, "1.00"))
        first.queue.take_all()
        hub.show(state(5, "5.00"))
        hub.show(state(4, "4.00"))
        assert shown(hub) == "5.00"
        with (
            hub.subscribe(["g"]) as fresh,
            hub.subscribe(["g", "h"], multi=True) as among_many,
            hub.subscribe(["g"], Version.of_tag(state(3, "3.00").tag)) as behind,
            hub.subscribe(["g"], Version.of_tag(state(5, "5.00").tag)) as same,
        ):
            newcomers = (fresh, among_many, behind)
            for viewer in newcomers:
                assert prices(viewer.queue.take_all()) == ["5.00"]
            assert prices(same.queue.take_all()) == []
            assert prices(first.queue.take_all()) == [], "pushes come as they are published"
            asked_at = time.monotonic() - 1  # on its way when the other was announced
            hub.publish(state(2, "2.00"), asked_at)
            assert prices(first.queue.take_all()) == ["5.00"], "the newer of what was under way"
            hub.publish(state(5, "5.00"))
            assert [prices(viewer.queue.take_all()) for viewer in (*newcomers, same, first)] == [[]] * 5
            hub.publish(state(6, "6.00"))
            assert [prices(viewer.queue.take_all()) for viewer in (*newcomers, same, first)] == [["6.00"]] * 5


async def test_a_state_announced_before_the_first_one_is_the_first_state() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as early:
        hub.show(state(5, "5.00"))
        with hub.subscribe(["g"]) as late:
            assert prices(late.queue.take_all()) == ["5.00"]
            first = await hub.first_state("g", 0)
            assert first is not None
            assert first.state.price == "5.00"
            hub.publish(state(4, "4.00"), time.monotonic() - 1)
            assert [prices(viewer.queue.take_all()) for viewer in (early, late)] == [["5.00"], []]


async def test_an_announced_state_gives_way_to_a_later_read() -> None:
    far = 10**8  # by a clock that was later set back
    for announced, then in [
        (state(5, "5.00", now=far), replace(state(0, None), tag="feedfeed-0-")),  # the store lost everything
        (replace(state(9, "9.00", now=far), tag="feedfeed-9-9.00"), state(1, "1.00")),  # created anew
        (external("9.00", now=far), external("3.00")),  # an external price that fell
        (external("9.00", now=far), external(None)),
    ]:
        hub, _ = make_hub()
        with hub.subscribe(["g"]):
            hub.publish(external("1.00") if announced.rev == 0 else state(1, "1.00"))
            hub.show(announced)
            assert shown(hub) == announced.price
            hub.publish(then, time.monotonic())
            assert shown(hub) == then.price


async def test_of_states_that_only_time_orders_the_later_one_is_shown() -> None:
    hub, _ = make_hub()
    with hub.subscribe(["g"]) as viewer:
        hub.publish(external("9.00", now=1000))
        viewer.queue.take_all()
        hub.show(external("3.00", now=2000))
        hub.show(external("9.00", now=1500))
        assert shown(hub) == "3.00"
        before = time.monotonic() - 1
        hub.publish(external("9.00", now=1900), before)
        assert shown(hub) == "3.00", "it was read before that"
        hub.show(external("5.00", now=2000))
        hub.publish(external("4.00", now=2000), before)
        assert shown(hub) == "4.00", "the order is unknown; if it was earlier, another follows"


async def test_announced_states_of_unwatched_auctions_are_not_kept() -> None:
    hub, _ = make_hub()
    hub.show(state(5, "5.00"))
    assert hub.state_of("g") is None
    assert hub._rooms == {}


async def test_the_queue_is_an_asyncio_queue_with_one_place_per_slot() -> None:
    assert issubclass(LatestQueue, asyncio.Queue)
    with make_hub()[0].subscribe(["g"]) as viewer:
        for number in range(5):
            viewer.send("g", b"%d" % number)
            viewer.send("hb", b"hb%d" % number)
        assert viewer.queue.qsize() == 3
        assert viewer.queue.take_all().endswith(b"4hb4"), "a newer item keeps the turn of the one it replaces"
