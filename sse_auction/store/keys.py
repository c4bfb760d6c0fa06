"""The names of the keys. All keys of one auction hash to one cluster slot: the tag is the price key's whole name."""

from hashlib import blake2s

INDEX = "sse-auction:auctions"  # sorted set: every managed auction's guid by the closing it was created with
DUE = "sse-auction:due"  # sorted set: every unsettled auction's guid by the moment when it must be looked at
LISTS_COMPLETE = "{sse-auction:lists}:complete"  # exists when every auction of the index has been listed
MEMORY = "sse-auction:memory"  # a random word: when it is missing or another one, the store lost its data
WEBHOOKS = "sse-auction:webhooks"  # what the outboxes get: `events`, or `bids` too; expires when no process sends
SENDER = "sse-auction:sender"  # the lease of the one process that sends webhooks
OUTBOXES = "sse-auction:outboxes"  # set: guids of auctions with pending messages
DEAD = "sse-auction:dead"  # set: guids of auctions with dead letters
BATCHES = "sse-auction:batches"  # sorted set: names of batches that may be unfinished, by the time they began
DEMO_LEASE = "sse-auction:demo"  # the lease of the one process that runs the demo's house bidders

_PRICE_PREFIX = "AuctionMaxPrice-"


def listed(listing: str) -> str:
    """Sorted set: the entries of a listing, in their order."""
    return f"{{sse-auction:lists}}:{listing}"


def price(guid: str) -> str:
    """String: the maximum price as a decimal. The single source of truth; existing sites write this key themselves."""
    return f"{_PRICE_PREFIX}{guid}"


def auction(guid: str) -> str:
    """Hash: public terms and state."""
    return _of_auction(guid, "auction")


def private(guid: str) -> str:
    """Hash: data that must never be shown, such as the seller's id, the reserve and the leader's maximum."""
    return _of_auction(guid, "private")


def bids(guid: str) -> str:
    """Stream: the append-only log. Accepted bids have ids `<seq>-0`, other entries `<seq of the last bid>-<n>`."""
    return _of_auction(guid, "bids")


def paddles(guid: str) -> str:
    """Hash: bidder's id to paddle number."""
    return _of_auction(guid, "paddles")


def voided(guid: str) -> str:
    """Set: the paddles with void bids."""
    return _of_auction(guid, "voided")


def outbox(guid: str) -> str:
    """Stream: webhook messages, written by the scripts that decide."""
    return _of_auction(guid, "outbox")


def dead(guid: str) -> str:
    """Stream: dead letters, for an operator to look at."""
    return _of_auction(guid, "dead")


def copy_of(stream: str, token: str) -> str:
    """A copy of one of an auction's streams; it will replace the stream."""
    return f"{stream}:{token}"


def answer(guid: str, bidder: str, idempotency_key: str | None) -> str:
    """String with a TTL: the answer to a request with an idempotency key. Both parts are foreign text, so hashed.

    Without an idempotency key it names an unused key: a script must get all its keys, used or not.
    """
    if idempotency_key is None:
        return _of_auction(guid, "answer")
    return _of_auction(guid, f"answer:{_digest(bidder, idempotency_key)}")


def created(guid: str, actor: str, idempotency_key: str | None) -> str:
    """The same for an operator's request that created the auction. The operator may use the same keys for bids."""
    if idempotency_key is None:
        return answer(guid, actor, None)
    return _of_auction(guid, f"created:{_digest(actor, idempotency_key)}")


def answers(guid: str) -> tuple[str, str]:
    """Patterns that match the keys of all stored answers to requests about an auction."""
    return _of_auction(guid, "answer:*"), _of_auction(guid, "created:*")


def claim(actor: str, idempotency_key: str) -> str:
    """String with a TTL: the hash of an operator's request with this key, and the guid that it creates."""
    return f"sse-auction:claim:{_digest(actor, idempotency_key)}"


def held(guid: str) -> str:
    """String with a TTL: the name of the batch that holds this guid and is about to create the auction."""
    return _of_auction(guid, "held")


def decided(batch: str) -> str:
    """String: the decision to create the batch: which list it is in, and a hash of its content."""
    return f"{{sse-auction:batch:{batch}}}:decided"


def staged(batch: str, attempt: str) -> str:
    """List: the auctions to create, one JSON object each."""
    return f"{{sse-auction:batch:{batch}}}:lots:{attempt}"


def batch_lease(batch: str) -> str:
    """String with a TTL: the lease of the one process that carries out the batch."""
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
