"""A crowd is served in batches: what its viewers get while states change faster than a round of batches."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sse_auction.auction.state import Record, State
from sse_auction.delivery.batches import BATCH_SIZE
from sse_auction.delivery.hub import Hub
from sse_auction.delivery.subscriber import EventSubscriber
from tests.support.hubs import make_hub, prices, state

CROWD = 4 * BATCH_SIZE


@contextmanager
def crowd(hub: Hub, *, guids: tuple[str, ...] = ("g",), size: int = CROWD) -> Iterator[list[EventSubscriber]]:
    with ExitStack() as stack:
        viewers = [stack.enter_context(hub.subscribe(guids, multi=len(guids) > 1)) for _ in range(size)]
        for viewer in viewers:
            viewer.queue.take_all()
        yield viewers


def shown(viewers: list[EventSubscriber]) -> list[list[str]]:
    return [prices(viewer.queue.take_all()) for viewer in viewers]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_crowd_gets_a_state_in_batches_and_others_have_their_turn_in_between() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers:
        hub.publish(state(1, "1.00"))
        reached = []
        while (missing := sum(viewer.queue.empty() for viewer in viewers)) > 0:
            reached.append(CROWD - missing)
            await asyncio.sleep(0)  # the turn of this test
        assert reached == [BATCH_SIZE, 2 * BATCH_SIZE, 3 * BATCH_SIZE]
        assert shown(viewers) == [["1.00"]] * CROWD


async def test_the_rest_gets_a_newer_state_first_and_then_those_with_the_older_one() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers:
        hub.publish(state(1, "1.00"))
        first = viewers[:BATCH_SIZE]
        assert shown(first) == [["1.00"]] * BATCH_SIZE
        hub.publish(state(2, "2.00"))
        await turns(3)
        assert shown(viewers[BATCH_SIZE:]) == [["2.00"]] * (CROWD - BATCH_SIZE), "no viewer gets what is old already"
        assert shown(first) == [[]] * BATCH_SIZE
        await turns(1)
        assert shown(first) == [["2.00"]] * BATCH_SIZE


async def test_no_viewer_starves_while_states_come_faster_than_a_crowd_is_served() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers:
        last = [0] * CROWD
        for rev in range(1, 101):
            hub.publish(state(rev, f"{rev}.00"))
            await turns(1)
            for number, viewer in enumerate(viewers):
                for price in prices(viewer.queue.take_all()):
                    got = int(price.partition(".")[0])
                    assert got > last[number], "a price never goes back, and no price comes twice"
                    last[number] = got
            assert rev < 8 or min(last) >= rev - 8, "every viewer has its turn within one round"
        await turns(CROWD // BATCH_SIZE)
        assert all(viewer.queue.empty() or prices(viewer.queue.take_all()) == ["100.00"] for viewer in viewers)


async def test_a_small_room_is_served_at_once_while_crowds_wait() -> None:
    hub, _ = make_hub()
    with crowd(hub), crowd(hub, guids=("h",)) as others, hub.subscribe(["small"]) as one:
        hub.publish(state(1, "1.00"))
        hub.publish(state(1, "1.00", guid="h"))
        one.queue.take_all()
        hub.publish(state(1, "7.00", guid="small"))
        assert prices(one.queue.take_all()) == ["7.00"]
        await turns(2 * CROWD // BATCH_SIZE - 2)
        assert shown(others) == [["1.00"]] * CROWD, "crowds take turns"


async def test_an_external_price_that_falls_in_between_loses_no_waiting_viewer() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers:
        hub.publish(external("5.00"))
        hub.publish(external("4.00"))
        assert shown(viewers) == [["5.00"]] * CROWD
        hub.publish(external("4.50"))
        await turns(CROWD // BATCH_SIZE)
        assert shown(viewers) == [[]] * CROWD, "below what they show"
        hub.publish(external("6.00"))
        await turns(CROWD // BATCH_SIZE)
        assert shown(viewers) == [["6.00"]] * CROWD


def external(price: str) -> State:
    return Record("g", None, price).state(1000, "memory", "CNY")


async def test_viewers_that_leave_or_come_in_between_are_served_correctly() -> None:
    hub, source = make_hub()
    with crowd(hub) as viewers:
        hub.publish(state(1, "1.00"))
        for viewer in viewers[2 * BATCH_SIZE :]:
            hub.leave(viewer)
        with hub.subscribe(["g"]) as newcomer:
            assert prices(newcomer.queue.take_all()) == ["1.00"]
            await turns(CROWD // BATCH_SIZE)
            assert shown(viewers) == [["1.00"]] * 2 * BATCH_SIZE + [[]] * 2 * BATCH_SIZE
            assert newcomer.queue.empty(), "nothing is sent twice"
        for viewer in viewers[2 * BATCH_SIZE :]:
            hub.enter(viewer, ["g"], None, multi=False)
    assert source.guids == []


async def test_an_ending_reaches_a_whole_crowd() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers, crowd(hub, guids=("g", "h")) as collectors:
        hub.publish(state(1, "1.00"))
        hub.publish(state(1, "1.00", now=10**9))
        await turns(2 * CROWD // BATCH_SIZE)
        for viewer in viewers:
            received = b"".join([data async for data in viewer])
            assert received.count(b"event: closed") == 1
            assert b"event: closed" in received[received.rindex(b"event: ") :]
        assert all(viewer.queue.take_all().count(b"event: closed") == 1 for viewer in collectors)


async def test_every_viewer_gets_once_whether_prices_are_live() -> None:
    hub, _ = make_hub()
    with crowd(hub) as viewers:
        hub.set_live(False)
        await turns(1)
        hub.set_live(True)
        await turns(2 * CROWD // BATCH_SIZE)
        for viewer in viewers:
            assert viewer.queue.take_all().endswith(b'"live":true}\n\n'), "the last event counts"


async def test_any_order_of_events_ends_with_all_viewers_at_the_newest() -> None:
    async def one_order(seed: int) -> None:
        chance = random.Random(seed)
        hub, _ = make_hub()
        with crowd(hub, size=3 * BATCH_SIZE) as viewers:
            last = dict.fromkeys(viewers, 0)
            rev = 0
            for _ in range(60):
                match chance.randrange(4):
                    case 0 | 1:
                        rev += chance.randrange(1, 3)
                        hub.publish(state(rev, f"{rev}.00"))
                    case 2:
                        hub.publish(state(max(1, rev - 1), "1.00"))  # late news of an older revision
                    case _:
                        await turns(chance.randrange(1, 4))
                for viewer in chance.sample(viewers, 200):
                    check(last, viewer)
            await turns(4 * len(viewers) // BATCH_SIZE)
            for viewer in viewers:
                check(last, viewer)
            assert set(last.values()) == {rev}

    def check(last: dict[EventSubscriber, int], viewer: EventSubscriber) -> None:
        for price in prices(viewer.queue.take_all()):
            assert float(price) > last[viewer]
            last[viewer] = int(float(price))

    for seed in range(20):
        await one_order(seed)
