"""The conditions that a store must meet: its version, and a policy that never evicts an auction."""

import logging

from sse_auction.store.connection import CommandError, StoreUnavailable, connect

log = logging.getLogger(__name__)

MIN_VERSION = (6, 2)


def version_of(info: str) -> tuple[int, ...]:
    """The Redis version in a reply to `INFO server`; Valkey reports the Redis version that it is compatible with."""
    for line in info.splitlines():
        if line.startswith("redis_version:"):
            return tuple(int(part) for part in line.partition(":")[2].split(".")[:3] if part.isdigit())
    return ()


def _check_eviction(info: str) -> None:
    """Raise `StoreUnavailable` when the eviction policy in a reply to `INFO memory` may drop an auction."""
    policy = next((line.partition(":")[2] for line in info.splitlines() if line.startswith("maxmemory_policy:")), "")
    if policy.startswith("allkeys-"):
        raise StoreUnavailable(
            f"the store's maxmemory-policy is {policy}: when its memory is full it would drop auctions; "
            "set it to noeviction"
        )
    if policy.startswith("volatile-"):
        log.warning(
            "the store's maxmemory-policy is %s: when its memory is full it drops remembered answers, and a bid sent "
            "again could count twice; set it to noeviction",
            policy,
        )


async def check_store(url: str, timeout: float) -> None:
    """Raise `StoreUnavailable` with a sentence unless a usable Redis or Valkey answers at `url`."""
    link = await connect(url, timeout)
    try:
        info = await link.call("INFO", "server")
        version = version_of(info.decode())
        if version < MIN_VERSION:
            shown = ".".join(map(str, version)) or "unknown"
            raise StoreUnavailable(f"the store is Redis {shown}; 6.2 or newer, or Valkey, is needed")
        _check_eviction((await link.call("INFO", "memory")).decode())
    except CommandError as error:
        log.warning("the store does not answer INFO: %s", error)  # an ACL may forbid INFO
    finally:
        link.close()
