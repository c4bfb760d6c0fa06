"""Lua scripts: each makes one decision, atomically in the store."""

from collections.abc import Collection, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from sse_auction.store.connection import Argument, CommandError, Connection
from sse_auction.store.records import FIELDS


def shared_by(name: str) -> tuple[str, ...]:
    """The files that are put before a script that decides about an auction, in this order."""
    return ("common", "recount") if name in ("void", "correct") else ("common",)


class Script:
    """One Lua file, called by its hash. The shared files are put before a script that decides about an auction."""

    def __init__(self, name: str, *, decides: bool = True, verdicts: Collection[bytes] = ()) -> None:
        self.verdicts = verdicts  # those that come without a state
        folder = files("sse_auction.store").joinpath("lua")
        self.source = folder.joinpath(f"{name}.lua").read_text()
        if decides:
            fields = ", ".join(f"'{field}'" for field in FIELDS)
            shared = [folder.joinpath(f"{part}.lua").read_text() for part in shared_by(name)]
            self.source = "\n".join([f"local FIELDS = {{{fields}}}", *shared, self.source])
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, link: Connection, script_keys: Sequence[str], arguments: Sequence[str]) -> Any:
        """The script's reply. A store that does not know the script did not run it, so sending its text is safe.

        Raises: `StoreTimeout` (outcome unknown), `StoreUnavailable` (outcome unknown when the connection was lost).
        """
        rest: tuple[Argument, ...] = (len(script_keys), *script_keys, *arguments)
        try:
            return await link.call("EVALSHA", self.sha, *rest)
        except CommandError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await link.call("EVAL", self.source, *rest)
