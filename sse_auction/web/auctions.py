"""Auctions over HTTP: create, list, read, bid, history, refresh."""

import math
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction.decisions import NotCreated, Refused
from sse_auction.auction.money import AmountError
from sse_auction.auth import Identity
from sse_auction.metrics import BID_SECONDS, BIDS
from sse_auction.refusals import explain, explain_not_created
from sse_auction.store.catalogue import LISTINGS, Cursor, WrongCursor
from sse_auction.store.connection import StoreError
from sse_auction.store.creating import create_once
from sse_auction.texts import WrongText, check_key
from sse_auction.web.problems import Problem
from sse_auction.web.requests import (
    Service,
    admit,
    body_of,
    checked_guid,
    guid_of,
    identity_of,
    is_for_operator,
    operator_of,
    service_of,
    whole_number,
)
from sse_auction.wire.requests import (
    AuctionReply,
    AuctionsReply,
    BidReply,
    BidRequest,
    CreateRequest,
    RefreshReply,
    TermsReply,
    encode,
    new_auction,
)

MOST_PER_PAGE = 200

_NO_CACHE = (b"cache-control", b"no-cache")
_REPLAYED = ((b"idempotent-replayed", b"true"),)


class JSONReply(Response):
    """A body of JSON, with headers that are bytes already: two thirds less work than Starlette's own."""

    def __init__(self, body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            _NO_CACHE,
            *headers,
        ]


def json_reply(value: object, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    """Any reply as JSON."""
    return JSONReply(encode(value), status, headers)


# --- bidding -------------------------------------------------------------------------------------------------


_count_of = lru_cache(maxsize=64)(BIDS.labels)


async def bid(request: Request) -> Response:
    """Decide one bid."""
    started = time.perf_counter()
    result = "error"
    try:
        response, result = await _bid(request)
    except Problem as problem:
        result = problem.code
        raise
    except StoreError:
        result = "store_unavailable"
        raise
    finally:
        _count_of(result).inc()
        BID_SECONDS.observe(time.perf_counter() - started)
    return response


async def _bid(request: Request) -> tuple[Response, str]:
    identity = identity_of(request)
    guid = guid_of(request)
    admit(identity, guid)
    service = service_of(request)
    _slow_down(service, identity)
    wanted = await body_of(request, BidRequest)
    key = idempotency_key(request)
    currency = await service.store.currency_of(guid)
    if isinstance(currency, Refused):
        raise refusal(guid, wanted.shown, currency)
    try:
        offer = wanted.offer(currency)
    except AmountError as error:
        raise Problem("invalid", str(error)) from None
    result = await service.store.bid(
        guid, identity.subject, offer, currency, confirmed=wanted.confirm, idempotency_key=key
    )
    if isinstance(result, Refused):
        raise refusal(guid, wanted.shown, result, {"idempotent-replayed": "true"} if result.replayed else None)
    reply = BidReply(True, result.seq, result.paddle, result.standing, result.state)
    if result.replayed:
        return json_reply(reply, 201, _REPLAYED), "replayed"
    return json_reply(reply, 201), "accepted"


def _slow_down(service: Service, identity: Identity) -> None:
    wait = service.bid_rate.wait_seconds(identity.subject)
    if wait:
        limit = service.settings.bid_rate
        raise Problem("rate_limited", f"you bid more than {limit:g} times a second; wait", retry_after=math.ceil(wait))


def idempotency_key(request: Request) -> str | None:
    """The key by which a request that is sent again is known."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    try:
        check_key(key)
    except WrongText as error:
        raise Problem("invalid", str(error)) from None
    return key


def refusal(guid: str, offer: str, refused: Refused, headers: dict[str, str] | None = None) -> Problem:
    """The problem of what the store refused."""
    code, sentence = explain(guid, offer, refused)
    return Problem(code, sentence, state=refused.state, reason=refused.why, headers=headers)


async def history(request: Request) -> Response:
    """The public history of accepted bids."""
    guid = guid_of(request)
    after = whole_number(request, "after", 0, 0, 2**53 - 1)
    limit = whole_number(request, "limit", 50, 1, MOST_PER_PAGE)
    store = service_of(request).store
    page = await store.history(guid, after, limit)
    if not page.bids and not (await store.read(guid)).exists:
        raise Problem("unknown_auction", f"there is no auction {guid!r}")
    return json_reply(page)


# --- auctions ------------------------------------------------------------------------------------------------


async def list_auctions(request: Request) -> Response:
    """One page of recorded auctions."""
    wanted = request.query_params.get("status", "all")
    listing = next((each for each in LISTINGS if each == wanted), None)
    if listing is None:
        raise Problem("invalid", f"status={wanted[:40]!r} is none of {', '.join(LISTINGS)}")
    limit = whole_number(request, "limit", 50, 1, MOST_PER_PAGE)
    text = request.query_params.get("after")
    try:
        after = None if text is None else Cursor.read(text, listing)
    except WrongCursor as error:
        raise Problem("invalid", f"after={str(error)[:80]!r} is not a cursor that this listing gave") from None
    page = await service_of(request).store.catalogue.page(listing, after, limit)
    auctions = [AuctionReply(TermsReply.of(terms), state) for terms, state in page.auctions]
    cursor = None if page.next is None else str(page.next)
    return json_reply(AuctionsReply(auctions, cursor, page.total, page.before))


async def read_auction(request: Request) -> Response:
    """One auction's terms and state; for its operators also what the house has noted of it."""
    guid = guid_of(request)
    service = service_of(request)
    record = await service.store.read(guid)
    if not record.exists:
        raise Problem("unknown_auction", f"there is no auction {guid!r}")
    terms = TermsReply.of(record.terms) if record.terms else None
    try:
        unpaid = record.unpaid if record.terms and is_for_operator(request, guid) else UNSET
    except Problem:  # a watcher's wrong token takes nothing away from it
        unpaid = UNSET
    reply = AuctionReply(terms, service.store.state_of(record), unpaid)
    return json_reply(reply, headers=[(b"vary", b"authorization")])


async def create_auction(request: Request) -> Response:
    """Record a new auction; only for operators."""
    operator = operator_of(request)
    wanted = await body_of(request, CreateRequest)
    service = service_of(request)
    guid = str(uuid.uuid4()) if wanted.guid is None else checked_guid(wanted.guid)
    admit(operator, guid)
    try:
        new = new_auction(wanted, guid, service.settings.currency)
    except AmountError as error:
        raise Problem("invalid", str(error)) from None
    key = idempotency_key(request)
    result = await create_once(service.store, new, operator.subject, key, is_named=wanted.guid is not None)
    if isinstance(result, NotCreated):
        raise Problem(*explain_not_created(new.guid, new.closes_at, result))
    location = request.url_for("read_auction", guid=result.terms.guid).path
    headers = [(b"location", location.encode()), *(_REPLAYED if result.replayed else ())]
    return json_reply(AuctionReply(TermsReply.of(result.terms), result.state), 201, headers)


async def refresh(request: Request) -> Response:
    """Read an auction again and push it, though nobody said that it changed; only for operators."""
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    service_of(request).mirror.refresh(guid)
    return json_reply(RefreshReply(guid, refreshing=True), 202)
