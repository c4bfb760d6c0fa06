"""The log compared with the store: each kind of damage is found and named."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import redis

from sse_auction.store import keys
from tests.support.auctions import act, done, offer
from tests.support.harness import Server, StoreProcess, create, until
from tests.support.logs import an_eventful_auction, verify

Damage: TypeAlias = Callable[[redis.Redis, str], Any]
Log: TypeAlias = dict[str, dict[str, str]]


def written_anew(client: redis.Redis, guid: str, change: Callable[[Log], Log]) -> None:
    """Rewrite the log."""
    kept: Any = client.xrange(keys.bids(guid))
    client.delete(keys.bids(guid))
    for each, fields in change(dict(kept)).items():
        client.xadd(keys.bids(guid), dict(fields.items()), id=each)


def rewritten(entry_id: str, **changes: str | None) -> Damage:
    """A damage: fields of one entry of the log have other values, or (None) are missing."""

    def change(log: Log) -> Log:
        wanted = {**log[entry_id], **changes}
        return {**log, entry_id: {name: value for name, value in wanted.items() if value is not None}}

    return lambda client, guid: written_anew(client, guid, change)


def swapped(first: str, second: str) -> Damage:
    """A damage: two entries of the log have changed places."""
    return lambda client, guid: written_anew(client, guid, lambda log: {**log, first: log[second], second: log[first]})


def unlisted(listing: str) -> Damage:
    """A damage: the auction is not in the list that a listing is read from."""

    def damage(client: redis.Redis, guid: str) -> None:
        entries: Any = client.zrange(keys.listed(listing), 0, -1)
        assert client.zrem(keys.listed(listing), *(each for each in entries if each.endswith(guid)))

    return damage


def of(key: Callable[[str], str], command: str, *arguments: Any) -> Damage:
    """A damage: one command on one key of the auction."""
    return lambda client, guid: getattr(client, command)(key(guid), *arguments)


# Ann (1) 50, Bob (2) 20, Ann raises to 70, reserve 80, then 60; Bob is voided; Cat (3) 90; closed by the house.
DAMAGES: list[tuple[Damage, str]] = [
    (of(keys.price, "set", "999.00"), "price must be '71.00' by the log, and is '999.00'"),
    (of(keys.price, "delete"), "price must be '71.00' by the log, and is ''"),
    (lambda client, guid: (client.delete(keys.price(guid)), client.rpush(keys.price(guid), "x")), "cannot be read"),
    (of(keys.auction, "hset", "leader", "1"), "leader must be '3' by the log, and is '1'"),
    (of(keys.auction, "hset", "rev", "1"), "rev must be '8' by the log, and is '1'"),
    (of(keys.auction, "hset", "bids", "3"), "bids must be '2'"),
    (of(keys.auction, "hset", "closes_at", "5"), "closes_at must be"),
    (of(keys.auction, "hset", "closes_at", "soon"), "by the log, and is 'soon'"),
    (of(keys.auction, "hset", "increments", "none"), "increments must be '0:100' by the log, and is 'none'"),
    (of(keys.auction, "hset", "created_at", "5"), "created_at must be"),
    (of(keys.auction, "hset", "outcome", "no_bids"), "outcome must be 'sold'"),
    (of(keys.auction, "hset", "title", "Cup"), "title must be 'Vase' by the log, and is 'Cup'"),
    (of(keys.auction, "hdel", "reserve_met"), "reserve_met must be '1'"),
    (of(keys.auction, "delete"), "start_price must be '1000' by the log, and is ''"),
    (of(keys.private, "hset", "max", "1"), "max must be '9000'"),
    (of(keys.private, "hset", "reserve", "1"), "reserve must be '6000' by the log, and is '1'"),
    (of(keys.private, "hdel", "reserve"), "reserve must be '6000' by the log, and is ''"),
    (of(keys.private, "hset", "seller", "ann"), "seller must be 'sam' by the log, and is 'ann'"),
    (of(keys.private, "hset", "priority", '["bob"]'), "priority must be '[\"pia\"]' by the log, and is '[\"bob\"]'"),
    (of(keys.private, "hset", "priority_leads", "1"), "priority_leads must be '' by the log, and is '1'"),
    (of(keys.private, "hset", "leader_seq", "1"), "leader_seq must be '3' by the log, and is '1'"),
    (of(keys.voided, "sadd", "3"), "voided must be '2' by the log, and is '2 3'"),
    (of(keys.voided, "srem", "2"), "voided must be '2' by the log, and is ''"),
    (of(keys.paddles, "hset", None, None, {"ann": "3", "cat": "1"}),
     "the paddle of 'ann' must be 1 by the log, and is 3\nthe paddle of 'cat' must be 3 by the log, and is 1"),
    (of(keys.paddles, "hset", "eve", "4"), "the paddle of 'eve' must be none by the log, and is 4"),
    (of(keys.paddles, "hdel", "bob"), "the paddle of 'bob' must be 2 by the log, and is none"),
    (of(keys.paddles, "delete"), "the paddle of 'cat' must be 3 by the log, and is none"),
    (of(keys.private, "hset", "void:2", "no"), "paddle 2 is void must be '@once' by the log, and is 'no'"),
    (of(keys.private, "hset", "void:3", "no"), "the reason why paddle 3 is void must be '' by the log, and is 'no'"),
    (lambda client, guid: client.zrem(keys.INDEX, guid), "it is not in the index of all auctions"),
    (unlisted("all"), "it is not in the listing 'all'"),
    (unlisted("closed"), "it is not in the listing 'closed'"),
    (of(keys.bids, "xdel", "1-0"), "entry 2-0: a bid is missing before it"),
    (of(keys.bids, "xdel", "2-0"), "entry 2-2: an entry is missing before it"),
    (of(keys.bids, "xdel", "2-3"), "entry 2-4: an entry is missing before it"),
    (of(keys.bids, "xdel", "3-8"), "outcome must be '' by the log, and is 'sold'"),
    (of(keys.bids, "xdel", "0-1"), "entry 1-0: a log begins with the auction's creation"),
    (of(keys.bids, "xadd", {"bidder": "ann", "paddle": "1", "price": "99.00", "max": "9900", "at": "5"}, "4-0"),
     "entry 4-0: it comes after the outcome"),
    (of(keys.bids, "delete"), "there is no log"),
    (rewritten("2-0", bidder="ann"), "entry 2-0: 'ann' has paddle 2 there, which must be 1"),
    (rewritten("2-0", bidder="eve", paddle="7"), "entry 2-0: 'eve' has paddle 7 there, which must be 2"),
    (rewritten("2-0", bidder="sam"), "entry 2-0: its bidder is the seller"),
    (rewritten("2-0", max="1000"), "entry 2-0: 1000 minor units were not enough"),
    (rewritten("2-0", price="20.50"), "entry 2-0: it made the price 20.50, which must be 21.00"),
    (rewritten("2-0", leader="2"), "entry 2-0: paddle 2 leads after it, which must be 1"),
    (rewritten("0-1", priority="5"), "entry 0-1 cannot be read: ValueError('5 is no list of names')"),
    (rewritten("0-1", priority='["pia",5]'), "entry 0-1 cannot be read: ValueError('[\"pia\",5] is no list of names')"),
    (rewritten("0-1", priority="[" * 10**5), "entry 0-1 cannot be read: RecursionError"),
    (rewritten("1-0", at="5"), "entry 1-0: it was taken at 5, before the opening"),
    (rewritten("3-0", at="0"), "entry 3-0: at 0 is no moment"),
    (rewritten("3-0", at=None), "entry 3-0 cannot be read: KeyError('at')"),
    (rewritten("3-0", at="9999999999999"), "entry 3-0: it was taken at 9999999999999, and the auction closed at"),
    (rewritten("2-2", bidder="bob", paddle="2"), "entry 2-2: only the leader's maximum can be raised"),
    (rewritten("2-2", max="4000"), "entry 2-2: 4000 minor units were not enough"),
    (rewritten("2-3", at="9999999999999"), "entry 2-3: pause at 9999999999999 comes after the end"),
    (rewritten("2-4", closes_at="9999999999999"), "entry 2-4: resume made closes_at 9999999999999, which must be"),
    (rewritten("2-6", paddle="9"), "entry 2-6: paddle 9 has no bids to void"),
    (rewritten("2-5", kind="eat"), "entry 2-5: there is no act 'eat'"),
    (rewritten("3-8", outcome="no_bids"), "entry 3-8: it settled ('no_bids', '71.00', '3'), which must be ('sold',"),
    (rewritten("3-8", at="1000000000000"), "entry 3-8: it was settled at 1000000000000, before the closing at"),
    (swapped("1-0", "2-0"), "entry 1-0: 'bob' has paddle 2 there, which must be 1"),
    (swapped("2-3", "2-4"), "entry 2-3: it is not paused"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[said for _, said in DAMAGES])
def test_each_damage_is_found_and_named(
    service: Server, valkey: StoreProcess, guid: str, damage: Damage, said: str
) -> None:
    an_eventful_auction(service, guid)
    with valkey.client() as client:
        until(lambda: client.zscore(keys.DUE, guid) is None, "nothing is done to it any more")
        assert verify(valkey, guid) == []
        damage(client, guid)
    found = verify(valkey, guid)
    assert isinstance(found, list)
    assert said in "\n".join(found)


def test_what_is_forged_at_the_end_of_the_log_is_more_than_the_store_has(
    service: Server, valkey: StoreProcess, guid: str
) -> None:
    create(service, guid)
    offer(service, guid, "ann", price="10.00")
    forged = {"bidder": "eve", "paddle": "2", "price": "20.00", "max": "2000", "leader": "2"}
    with valkey.client() as client:
        at = client.hget(keys.auction(guid), "opens_at")
        client.xadd(keys.bids(guid), {**forged, "at": str(at)}, id="2-0")
    found = verify(valkey, guid)
    assert isinstance(found, list)
    assert "price must be '20.00' by the log, and is '10.00'" in found
    assert "the paddle of 'eve' must be 2 by the log, and is none" in found


def test_an_unsettled_auction_must_be_due(service: Server, valkey: StoreProcess, guid: str) -> None:
    closes_at = create(service, guid)["state"]["closes_at"]
    with valkey.client() as client:
        until(lambda: client.zscore(keys.DUE, guid) == closes_at, "it has been looked at")
        assert verify(valkey, guid) == []
        client.zrem(keys.DUE, guid)
    assert verify(valkey, guid) == ["it is not in the list of due auctions, so it will not be settled"]


def older(log: Log) -> Log:
    """The log as older releases wrote it: no bid names the leader after it."""
    return {
        each: {name: value for name, value in fields.items() if name != "leader" or "kind" in fields}
        for each, fields in log.items()
    }


def test_the_log_of_an_older_release_is_still_good(service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid, bidding="proxy")
    offer(service, guid, "ann", max="50.00")
    offer(service, guid, "bob", max="20.00")
    with valkey.client() as client:
        written_anew(client, guid, older)
        client.hdel(keys.private(guid), "leader_seq")
    assert verify(valkey, guid) == []
    assert offer(service, guid, "ann", max="70.00")["seq"] == 2, "it was not recorded which of the two was her bid"
    done(act(service, guid, "pause"))
    done(act(service, guid, "resume"))
    assert verify(valkey, guid) == []
    assert offer(service, guid, "cat", max="90.00")["seq"] == 3
    assert offer(service, guid, "bob", max="80.00")["seq"] == 4
    assert offer(service, guid, "cat", max="95.00")["seq"] == 3, "her own bid, which leads"
    assert verify(valkey, guid) == []
