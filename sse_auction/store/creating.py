"""New auctions whose request carries an idempotency key: sent again, or twice at once, it creates one.

The auction's name may be made here, and all its keys share a slot of that name. So there are two steps, each of which
may be repeated by anybody who sends the same: the key claims a name, in a key of its own; then the auction is created
under the claimed name, by a script that remembers its answer beside the auction. Who dies between the two leaves a
claim, with which the next one goes on.
"""

from dataclasses import replace
from hashlib import blake2s

import msgspec

from sse_auction.auction.decisions import Created, NotCreated
from sse_auction.auction.terms import NewAuction
from sse_auction.store import keys
from sse_auction.store.auctions import ANSWER_LIFE_MS, Auctions


async def create_once(
    auctions: Auctions, new: NewAuction, actor: str, key: str | None, *, is_named: bool
) -> Created | NotCreated:
    """Record a new auction; with a `key`, give what the first request of `actor` with it got.

    Without `is_named`, the auction's guid was made up for this request, and is no part of what was asked for.
    """
    if key is None:
        return await auctions.create(new, actor)
    request = request_of(new, is_named=is_named)
    guid = await claim(auctions, actor, key, request, new.guid)
    if guid is None:
        return NotCreated("key_reused")
    return await auctions.create(replace(new, guid=guid), actor, idempotency_key=key, request=request)


def request_of(new: NewAuction, *, is_named: bool) -> str:
    """A hash of what is asked for."""
    return blake2s(msgspec.json.encode(new if is_named else replace(new, guid="")), digest_size=16).hexdigest()


async def claim(auctions: Auctions, actor: str, key: str, request: str, guid: str) -> str | None:
    """The guid that this key has claimed: `guid` for the first one who asks; None if it was for another request."""
    link, claimed = auctions.connection.link(), keys.claim(actor, key)
    while not await link.call("SET", claimed, f"{request} {guid}", "NX", "PX", ANSWER_LIFE_MS):
        held: bytes | None = await link.call("GET", claimed)
        if held is not None:  # else its time was up just now
            told, _, first = held.decode().partition(" ")
            return first if told == request else None
    return guid
