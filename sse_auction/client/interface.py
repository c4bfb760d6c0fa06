"""What a client of a service offers, over HTTP or straight to the store.

Every method raises `ClientError`. If a write may have been carried out although no answer came, its message says that
the outcome is unknown; the same request with the same idempotency key is carried out once.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from sse_auction.auction.decisions import ActionKind
from sse_auction.auction.state import State
from sse_auction.wire.log_export import Format
from sse_auction.wire.lots import Lot
from sse_auction.wire.replies import AuctionReply, BidReply, ErasedReply, ProblemReply
from sse_auction.wire.requests import BidRequest, CreateRequest, EraseRequest, ReasonRequest

SEND_AGAIN = "the same command again creates all of them, or shows them if they are created by now"


class ClientError(Exception):
    """The service refused, or did not answer; the message is a sentence."""


class NothingCreated(ClientError):
    """A file of auctions was refused as a whole; the message has a line for each reason."""


@dataclass(frozen=True, slots=True)
class CreatedAll:
    """The auctions of a file. `before`: an earlier request with the same key had created them."""

    made: list[AuctionReply]
    before: bool
    missing: list[str]  # what another program wrote under the guid of one of them, in that very second

    def take(self, line: bytes) -> None:
        """Take a line of the service's answer."""
        try:
            self.made.append(msgspec.json.decode(line, type=AuctionReply))
        except msgspec.ValidationError:
            self.missing.append(msgspec.json.decode(line, type=ProblemReply).detail)


class Client(Protocol):
    """What a command needs of a service."""

    async def create(self, request: CreateRequest, guid: str | None, key: str | None = None) -> AuctionReply:
        """Create an auction, under a new guid if none is given; with a key, the same request creates one auction."""

    async def create_all(self, lots: Sequence[Lot], key: str, advance: Callable[[], None]) -> "CreatedAll":
        """Create all or none, once for a key; `advance` is called for each. Raises: `NothingCreated`."""

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply: ...

    async def act(self, guid: str, kind: ActionKind, request: ReasonRequest) -> AuctionReply: ...

    async def delete(self, guid: str, request: ReasonRequest) -> None: ...

    async def erase(self, request: EraseRequest) -> ErasedReply: ...

    def export(self, guid: str, form: Format) -> AsyncGenerator[bytes, None]:
        """The log in pieces. The caller closes it."""

    async def price(self, guid: str) -> State: ...

    def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        """States as they come; None when the price is not live, and the last state again when it is.

        Ends with the auction. The caller closes it.
        """
