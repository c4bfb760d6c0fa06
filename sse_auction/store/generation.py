"""The store's generation: the name of its unbroken data. Revisions can be compared within one generation."""

import contextlib
import logging
import secrets
from collections.abc import Awaitable
from hashlib import blake2s

from sse_auction.store import keys
from sse_auction.store.connection import CommandError, Connection, StoreNotReady

log = logging.getLogger(__name__)


async def name_generation(link: Connection) -> str:
    """The name of the store's unbroken data: the same in every worker, and a new one after a loss of data.

    It is a hash of a random word in the store (lost with the data) and of the server's run id (new after a restart
    or on a replica that took over). When an ACL forbids one of them, the other is used alone.
    """
    word = await _tolerate_refusal(_word(link), b"")
    info = await _tolerate_refusal(link.call("INFO", "server"), b"")
    run_id = next((line for line in info.splitlines() if line.startswith(b"run_id:")), b"")
    return blake2s(word + run_id, digest_size=8).hexdigest()


async def _word(link: Connection) -> bytes:
    with contextlib.suppress(CommandError, StoreNotReady):  # an ACL or a read-only replica: the word is only read
        await link.call("SET", keys.MEMORY, secrets.token_hex(8), "NX")
    return await link.call("GET", keys.MEMORY) or b""


async def _tolerate_refusal(call: Awaitable[bytes], otherwise: bytes) -> bytes:
    try:
        return bytes(await call)
    except CommandError as error:
        log.debug("the store refuses: %s", error)
        return otherwise
