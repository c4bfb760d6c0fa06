"""Auctions over HTTP: create, list, read, bid, history, refresh."""

import math
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction.texts import WrongText, check_key
from sse_auction.metrics import BID_SECONDS, BIDS
from sse_auction.store.catalogue import LISTINGS, Cursor, WrongCursor
from sse_auction.store.connection import StoreError
from sse_auction.web.problems import Problem
from sse_auction.web.requests import (
    admit,
    app_state_of,
    body_of,
    checked_guid,
    guid_of,
    identity_of,
    is_for_operator,
    operator_of,
    service_of,
    whole_number,
)
from sse_auction.web.tokens import Identity
from sse_auction.wire.refusals import Rejection
from sse_auction.wire.replies import AuctionReply, AuctionsReply, HistoryReply, RefreshReply, TermsReply, encode
from sse_auction.wire.requests import BidRequest, CreateRequest

MAX_PER_PAGE = 200

_NO_CACHE = (b"cache-control", b"no-cache")
_REPLAYED = ((b"idempotent-replayed", b"true"),)


class JSONReply(Response):
    """A JSON response with headers that are already bytes, for less work than in Starlette's own response."""

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
    """A response with any reply as JSON."""
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
    _slow_down(request, identity)
    wanted = await body_of(request, BidRequest)
    key = idempotency_key(request)
    answer = await service.auctioneer.bid(guid, identity.subject, wanted, key)
    if isinstance(answer, Rejection):
        raise Problem.of(answer)
    if answer.replayed:
        return json_reply(answer.reply, 201, _REPLAYED), "replayed"
    return json_reply(answer.reply, 201), "accepted"


def _slow_down(request: Request, identity: Identity) -> None:
    app = app_state_of(request)
    wait = app.bid_rate.wait_seconds(identity.subject)
    if wait:
        limit = app.service.settings.bid_rate
        raise Problem("rate_limited", f"you bid more than {limit:g} times a second; wait", retry_after=math.ceil(wait))


def idempotency_key(request: Request) -> str | None:
    """The request's `Idempotency-Key`. Raises: `Problem` when it is not a valid key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    try:
        check_key(key)
    except WrongText as error:
        raise Problem("invalid", str(error)) from None
    return key


async def history(request: Request) -> Response:
    """The public history of accepted bids."""
    guid = guid_of(request)
    after = whole_number(request, "after", 0, 0, 2**53 - 1)
    limit = whole_number(request, "limit", 50, 1, MAX_PER_PAGE)
    store = service_of(request).store
    bids, following = await store.bid_log.history(guid, after, limit)
    if not bids and not (await store.auctions.read(guid)).exists:
        raise Problem("unknown_auction", f"there is no auction {guid!r}")
    return json_reply(HistoryReply(bids, following))


# --- auctions ------------------------------------------------------------------------------------------------


async def list_auctions(request: Request) -> Response:
    """One page of managed auctions."""
    wanted = request.query_params.get("status", "all")
    listing = next((each for each in LISTINGS if each == wanted), None)
    if listing is None:
        raise Problem("invalid", f"status={wanted[:40]!r} is none of {', '.join(LISTINGS)}")
    limit = whole_number(request, "limit", 50, 1, MAX_PER_PAGE)
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
    """One auction's terms and state; for operators also `unpaid`."""
    guid = guid_of(request)
    service = service_of(request)
    record = await service.store.auctions.read(guid)
    if not record.exists:
        raise Problem("unknown_auction", f"there is no auction {guid!r}")
    terms = TermsReply.of(record.terms) if record.terms else None
    try:
        unpaid = record.unpaid if record.terms and is_for_operator(request, guid) else UNSET
    except Problem:  # this route is public, so a wrong token does no harm
        unpaid = UNSET
    reply = AuctionReply(terms, service.store.auctions.state_of(record), unpaid)
    return json_reply(reply, headers=[(b"vary", b"authorization")])


async def create_auction(request: Request) -> Response:
    """Create an auction; only for operators."""
    operator = operator_of(request)
    wanted = await body_of(request, CreateRequest)
    service = service_of(request)
    guid = str(uuid.uuid4()) if wanted.guid is None else checked_guid(wanted.guid)
    admit(operator, guid)
    key = idempotency_key(request)
    answer = await service.auctioneer.create(wanted, guid, operator.subject, key, is_named=wanted.guid is not None)
    if isinstance(answer, Rejection):
        raise Problem.of(answer)
    location = request.url_for("read_auction", guid=answer.reply.state.guid).path
    headers = [(b"location", location.encode()), *(_REPLAYED if answer.replayed else ())]
    return json_reply(answer.reply, 201, headers)


async def refresh(request: Request) -> Response:
    """Read an auction again and push it, even without a notice of a change; only for operators."""
    operator, guid = operator_of(request), guid_of(request)
    admit(operator, guid)
    service_of(request).mirror.refresh(guid)
    return json_reply(RefreshReply(guid, refreshing=True), 202)
