"""Creates an auction for a request with an idempotency key: the request sent again, or twice at once, creates one.

The service may choose the auction's guid, and all keys of the auction are in the cluster slot of that guid. So there
are two steps, and the same request may repeat each: the idempotency key claims a guid, in a key of its own; then a
script creates the auction under the claimed guid and stores its answer beside the auction. A process that dies between
the steps leaves a claim, and the next request continues with it.
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
    """Create a managed auction; with a `key`, replay the answer to the first request of `actor` with that key.

    Without `is_named`, the guid was generated for this request, and is no part of it.
    Raises: `StoreTimeout` and `StoreUnavailable`: outcome unknown. With a key, sending the request again is safe.
    """
    if key is None:
        return await auctions.create(new, actor)
    request = request_of(new, is_named=is_named)
    guid = await claim(auctions, actor, key, request, new.guid)
    if guid is None:
        return NotCreated("key_reused")
    return await auctions.create(replace(new, guid=guid), actor, idempotency_key=key, request=request)


def request_of(new: NewAuction, *, is_named: bool) -> str:
    """A hash of the request's content."""
    return blake2s(msgspec.json.encode(new if is_named else replace(new, guid="")), digest_size=16).hexdigest()


async def claim(auctions: Auctions, actor: str, key: str, request: str, guid: str) -> str | None:
    """The guid that this key has claimed: `guid` for the first request; None when the key was used for another one."""
    link, claimed = auctions.connection.link(), keys.claim(actor, key)
    while not await link.call("SET", claimed, f"{request} {guid}", "NX", "PX", ANSWER_LIFE_MS):
        held: bytes | None = await link.call("GET", claimed)
        if held is not None:  # otherwise it has just expired
            earlier, _, first = held.decode().partition(" ")
            return first if earlier == request else None
    return guid
