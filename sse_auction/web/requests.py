"""What handlers ask of a request: the service behind it, the guid, the bearer, numbers in the query, the body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import msgspec
from starlette.requests import Request

from sse_auction.auction.terms import RESERVED_GUIDS, is_guid
from sse_auction.auction.texts import WrongText
from sse_auction.service import Service
from sse_auction.web.poll_budget import PollBudget
from sse_auction.web.problems import Problem
from sse_auction.web.rate_limit import RateLimit
from sse_auction.web.shared_reads import SharedReads
from sse_auction.web.tokens import Identity, InvalidToken, Tokens, secret_of
from sse_auction.wire.requests import decode

_T = TypeVar("_T")

POLLS_PER_TURN = 32  # 2 ms of work
MAX_WAITING_POLLS = 4000  # some KB each
MAX_BODY_BYTES = 16 * 1024  # a bid has 40 bytes, an auction with a hundred bands 6 KB


@dataclass(frozen=True, slots=True)
class AppState:
    """What the lifespan gives to every request: the service, and what HTTP needs beside it."""

    service: Service
    tokens: Tokens
    bid_rate: RateLimit
    polls: PollBudget
    reads: SharedReads

    @classmethod
    def of(cls, service: Service) -> Self:
        """The state of a process that serves `service` by HTTP."""
        settings = service.settings
        return cls(
            service,
            Tokens(secret_of(settings), service.now),
            RateLimit(settings.bid_rate),
            PollBudget(POLLS_PER_TURN, MAX_WAITING_POLLS),
            SharedReads(service.store.auctions),
        )


def app_state_of(request: Request) -> AppState:
    """What the lifespan has made."""
    state: AppState = request.scope["state"]["app"]  # not by `request.state`, which makes two objects of it
    return state


def service_of(request: Request) -> Service:
    """The running service."""
    return app_state_of(request).service


def guid_of(request: Request) -> str:
    """The auction that the path names."""
    return checked_guid(request.path_params["guid"])


def checked_guid(guid: str) -> str:
    """`guid` if it can name an auction. Raises: `Problem`."""
    if guid in RESERVED_GUIDS:
        raise Problem("invalid", f"{guid!r} is reserved and cannot name an auction")
    if not is_guid(guid):
        raise Problem("invalid", f"{guid[:80]!r} cannot name an auction: 1 to 64 of A-Z a-z 0-9 _ - are needed")
    return guid


def header_of(request: Request, name: bytes) -> str:
    """A header's first value, empty where it is missing; `name` in lower case. A fifth of the cost of Starlette's."""
    for each, value in request.scope["headers"]:
        if each == name:
            return bytes(value).decode("latin-1")
    return ""


def identity_of(request: Request) -> Identity:
    """Who sent the request, by its bearer token. Raises: `Problem` without a valid token."""
    scheme, _, token = header_of(request, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem("unauthorized", "this needs a token: send 'Authorization: Bearer <token>'")
    try:
        return app_state_of(request).tokens.read(token.strip())
    except InvalidToken as error:
        raise Problem("unauthorized", str(error)) from None


def operator_of(request: Request) -> Identity:
    """The operator who sent the request. Handlers call it first, before they look at the rest of the request.

    Raises: `Problem` without a token, or with a bidder's.
    """
    identity = identity_of(request)
    if identity.role != "operator":
        raise Problem("forbidden", "this needs an operator's token; yours is a bidder's")
    return identity


def is_for_operator(request: Request, guid: str) -> bool:
    """Whether a request that needs no token came with one of an operator of this auction."""
    if not header_of(request, b"authorization"):
        return False
    identity = identity_of(request)
    return identity.role == "operator" and identity.may_enter(guid)


def admit(identity: Identity, guid: str) -> None:
    """Check that a token is good for this auction. Raises: `Problem`."""
    if not identity.may_enter(guid):
        raise Problem("forbidden", f"your token is not good for auction {guid!r}")


def query_of(request: Request) -> Mapping[str, str]:
    """The query's parameters; where there is no query, without the twentieth of a request that parsing it costs."""
    return request.query_params if request.scope["query_string"] else {}


def whole_number(request: Request, name: str, default: int, minimum: int, maximum: int) -> int:
    """A whole number in the query. Raises: `Problem` if it is none, or out of range."""
    text = query_of(request).get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and minimum <= int(text) <= maximum):
        raise Problem("invalid", f"{name}={text[:40]!r} is not a whole number from {minimum} to {maximum}")
    return int(text)


async def body_of(request: Request, shape: type[_T]) -> _T:
    """The JSON body as `shape`. Raises: `Problem` if it does not fit; msgspec names the place."""
    body = await whole_body(request, MAX_BODY_BYTES)
    try:
        return decode(body, shape)
    except WrongText as error:
        raise Problem("invalid", str(error)) from None
    except msgspec.ValidationError as error:
        raise Problem("invalid", f"the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter: a string that is not UTF-8
        raise Problem("invalid", f"the body is not JSON: {error}") from None


async def whole_body(request: Request, max_bytes: int) -> bytes:
    """The body as it came. Raises: `Problem` if it is larger, or if the connection is lost."""
    # Starlette's own limit answers in plain text, but clients expect a problem document.
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem("invalid", "the connection was lost before the body had come")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(parts[-1])
        if size > max_bytes:
            raise Problem("too_large", f"the body is larger than {max_bytes} bytes")
    return b"".join(parts)
