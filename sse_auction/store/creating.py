"""New auctions whose request carries an idempotency key: sent again, or twice at once, it creates one.

The auction's name may be made here, and all its keys share a slot of that name. So there are two steps, each of which
may be repeated by anybody who sends the same: the key claims a name, in a key of its own; then the auction is created
under the claimed name, by a script that remembers its answer beside the auction. Who dies between the two leaves a
claim, with which the next one goes on.
"""

from dataclasses import replace
from hashlib import blake2s

from sse_auction.auction.decisions import Created, NotCreated
from sse_auction.store import keys
from sse_auction.store.auctions import ANSWER_LIFE_MS, Store
from sse_auction.wire.requests import NewAuction, encode


async def create_once(
    store: Store, new: NewAuction, actor: str, key: str | None, *, is_named: bool
) -> Created | NotCreated:
    """Record a new auction; with a `key`, give what the first request of `actor` with it got.

    Without `is_named`, the auction's guid was made up for this request, and is no part of what was asked for.
    """
    if key is None:
        return await store.create(new, actor)
    request = request_of(new, is_named=is_named)
    guid = await claim(store, actor, key, request, new.guid)
    if guid is None:
        return NotCreated("key_reused")
    return await store.create(replace(new, guid=guid), actor, idempotency_key=key, request=request)


def request_of(new: NewAuction, *, is_named: bool) -> str:
    """A hash of what is asked for."""
    return blake2s(encode(new if is_named else replace(new, guid="")), digest_size=16).hexdigest()


async def claim(store: Store, actor: str, key: str, request: str, guid: str) -> str | None:
    """The guid that this key has claimed: `guid` for the first one who asks; None if it was for another request."""
    link, claimed = store.link(), keys.claim(actor, key)
    while not await link.call("SET", claimed, f"{request} {guid}", "NX", "PX", ANSWER_LIFE_MS):
        held: bytes | None = await link.call("GET", claimed)
        if held is not None:  # else its time was up just now
            told, _, first = held.decode().partition(" ")
            return first if told == request else None
    return guid
