"""The names of the keys. All keys of one auction hash to one cluster slot: the tag is the price key's whole name."""

from hashlib import blake2s

INDEX = "sse-auction:auctions"  # sorted set: every recorded auction's guid by the closing it was created with
DUE = "sse-auction:due"  # sorted set: every unsettled auction's guid by the moment at which it is to be looked at
LISTS_COMPLETE = "{sse-auction:lists}:complete"  # there when everything in the index has been listed
MEMORY = "sse-auction:memory"  # a random word: gone or another one means that the store lost its data
WEBHOOKS = "sse-auction:webhooks"  # what is to be told to others: `events`, or `bids` too; gone when nobody tells it
SENDER = "sse-auction:sender"  # the lease of the one process that tells others
OUTBOXES = "sse-auction:outboxes"  # set: guids of auctions that have something to tell
DEAD = "sse-auction:dead"  # set: guids of auctions of which something could not be told
BATCHES = "sse-auction:batches"  # sorted set: names of batches that may have to be carried out, by when they began
DEMO_LEASE = "sse-auction:demo"  # held by the one process that runs the demo's house bidders

_PRICE_PREFIX = "AuctionMaxPrice-"


def listed(listing: str) -> str:
    """Sorted set: the entries of a listing, in their order."""
    return f"{{sse-auction:lists}}:{listing}"


def price(guid: str) -> str:
    """The maximum price, a decimal string: the single truth, and the key that existing sites write themselves."""
    return f"{_PRICE_PREFIX}{guid}"


def auction(guid: str) -> str:
    """Hash: public terms and state."""
    return _of_auction(guid, "auction")


def private(guid: str) -> str:
    """Hash: what must never be shown, such as the seller's id, the reserve and the leader's maximum."""
    return _of_auction(guid, "private")


def bids(guid: str) -> str:
    """Stream: the append-only log; accepted bids have ids `<seq>-0`, everything else `<seq of the last bid>-<n>`."""
    return _of_auction(guid, "bids")


def paddles(guid: str) -> str:
    """Hash: bidder's id to paddle number."""
    return _of_auction(guid, "paddles")


def voided(guid: str) -> str:
    """Set: paddles whose bids are void."""
    return _of_auction(guid, "voided")


def outbox(guid: str) -> str:
    """Stream: what is to be told to others, written by the scripts that decide it."""
    return _of_auction(guid, "outbox")


def dead(guid: str) -> str:
    """Stream: what could not be told, for an operator to look at."""
    return _of_auction(guid, "dead")


def copy_of(stream: str, token: str) -> str:
    """A copy of one of an auction's streams, which is to take its place."""
    return f"{stream}:{token}"


def answer(guid: str, bidder: str, idempotency_key: str | None) -> str:
    """String with a TTL: the answer to a request that carried an idempotency key; hashed, as both parts are foreign.

    Without a key, the name of nothing: a script takes all its keys, used or not.
    """
    if idempotency_key is None:
        return _of_auction(guid, "answer")
    return _of_auction(guid, f"answer:{_digest(bidder, idempotency_key)}")


def created(guid: str, actor: str, idempotency_key: str | None) -> str:
    """The same for the request that created the auction, of an operator, who may use his keys for bids too."""
    if idempotency_key is None:
        return answer(guid, actor, None)
    return _of_auction(guid, f"created:{_digest(actor, idempotency_key)}")


def answers(guid: str) -> tuple[str, str]:
    """Patterns of the names of all that is remembered of requests about an auction."""
    return _of_auction(guid, "answer:*"), _of_auction(guid, "created:*")


def claim(actor: str, idempotency_key: str) -> str:
    """String with a TTL: which auction an operator's request with this key creates, and what that request was."""
    return f"sse-auction:claim:{_digest(actor, idempotency_key)}"


def held(guid: str) -> str:
    """String with a TTL: the name of the batch that is about to create this auction."""
    return _of_auction(guid, "held")


def decided(batch: str) -> str:
    """String: that the batch is to be created, from which list, and a hash of what is in it."""
    return f"{{sse-auction:batch:{batch}}}:decided"


def staged(batch: str, attempt: str) -> str:
    """List: what is to be created, a JSON object each."""
    return f"{{sse-auction:batch:{batch}}}:lots:{attempt}"


def batch_lease(batch: str) -> str:
    """The lease of the one process that carries the batch out."""
    return f"{{sse-auction:batch:{batch}}}:lease"


def guid_of(key: bytes) -> str | None:
    """The auction that a price key or an auction hash belongs to, or None for any other key."""
    name = key.decode("utf-8", "replace")
    if name.startswith(_PRICE_PREFIX):
        return name.removeprefix(_PRICE_PREFIX)
    if name.startswith("{" + _PRICE_PREFIX):
        return name.removeprefix("{" + _PRICE_PREFIX).partition("}")[0]
    return None


def _digest(who: str, idempotency_key: str) -> str:
    return blake2s(f"{len(who)}:{who}{idempotency_key}".encode(), digest_size=16).hexdigest()


def _of_auction(guid: str, kind: str) -> str:
    return f"{{{_PRICE_PREFIX}{guid}}}:{kind}"
