"""The OpenAPI document of every route, made from the shapes of requests and replies.

A test compares this table with the routes of the app, in both directions.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from sse_auction import __version__
from sse_auction.auction.state import State
from sse_auction.store.catalogue import LISTINGS
from sse_auction.web.descriptions import DESCRIPTIONS
from sse_auction.wire.log_export import COLUMNS, PUBLIC_COLUMNS
from sse_auction.wire.replies import (
    AuctionReply,
    AuctionsReply,
    BidReply,
    ErasedReply,
    GuestReply,
    HistoryReply,
    ProblemReply,
    RefreshReply,
    StandingsReply,
)
from sse_auction.wire.requests import (
    BidRequest,
    CreateRequest,
    EditRequest,
    EraseRequest,
    ExtendRequest,
    ReasonRequest,
    ReopenRequest,
    SecondOfferRequest,
    VoidRequest,
)

_EVENTS = (
    "Server-Sent Events: `retry:`, then `price` with a state, `closed` with the final state, `hb` with "
    '`{"now", "live"}` after a silence or when prices stop or start to be live, `busy` when there is no room.'
)


@dataclass(frozen=True)
class Operation:
    """One method of one route."""

    method: str
    path: str
    summary: str
    replies: dict[int, tuple[str, Any]]  # status: (meaning, JSON shape or name of the media type)
    problems: tuple[int, ...] = ()
    token: bool = False
    body: type | None = None
    parameters: tuple[dict[str, Any], ...] = field(default=())
    multi: str = ""  # the media type of a request for several auctions at once, and of its reply


def _parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "description": description, "schema": schema or {"type": "string"}}


_LAST_SEEN = (
    _parameter("Last-Event-ID", "header", "the tag of the state already shown"),
    _parameter("last_event_id", "query", "the same, for the first connect; the header wins"),
    _parameter("lastEventId", "query", "the same"),
)
_UNCHANGED = ("It has not changed", None)
_KEY = _parameter("Idempotency-Key", "header", "the same key and body get the first answer again, for 24 hours")
_LIMIT = _parameter("limit", "query", "the maximum number of items", type="integer", minimum=1, maximum=200, default=50)
_GUIDS = {
    **_parameter("guid", "query", "an auction; given up to 50 times", type="array", items={"type": "string"}),
    "required": True,
}

_ACT_PROBLEMS = (401, 403, 404, 409, 413, 422, 503)

OPERATIONS = (
    Operation(
        "get", "/auctions/{guid}/stream", "Watch one auction",
        {200: (_EVENTS, "text/event-stream"), 204: ("It is over, and you have seen the end", None)},
        (422,), parameters=_LAST_SEEN,
    ),
    Operation(
        "get", "/auctions/stream", "Watch several auctions over one connection",
        {200: (_EVENTS + " No ids: a reconnect gets whole states.", "text/event-stream")}, (422,),
        parameters=(_GUIDS,),
    ),
    Operation(
        "get", "/auctions/{guid}/price", "Poll one auction's state",
        {200: ("The state; its tag is the ETag", State), 304: ("If-None-Match names the state", None)},
        (404, 422, 503),
        parameters=(
            _parameter("If-None-Match", "header", "the tag of the state already shown, quoted"),
            _parameter(
                "wait", "query", "seconds to wait for a state with another tag",
                type="integer", minimum=0, maximum=30, default=0,
            ),
        ),
    ),
    Operation(
        "post", "/auctions/{guid}/bids", "Bid", {201: ("The bid counts", BidReply)},
        (401, 403, 404, 409, 413, 422, 429, 503), token=True, body=BidRequest,
        parameters=(_KEY,),
    ),
    Operation(
        "get", "/auctions/{guid}/bids", "The public history of accepted bids",
        {200: ("Bids in order; `limit` counts bids, not entries", HistoryReply)}, (404, 422, 503),
        parameters=(
            _parameter("after", "query", "only bids with a higher seq", type="integer", minimum=0, default=0), _LIMIT,
        ),
    ),
    Operation(
        "get", "/auctions", "List managed auctions by the closing that they were created with",
        {200: ("One page", AuctionsReply)}, (422, 503),
        parameters=(
            _parameter(
                "status", "query", "only these; closed and cancelled ones come latest first",
                type="string", enum=list(LISTINGS), default="all",
            ),
            _parameter("after", "query", "`next` of the previous page, unchanged"), _LIMIT,
        ),
    ),
    Operation(
        "post", "/auctions", "Create an auction; or several, one line each, all or none (operators)",
        {201: ("It is created; of several auctions one line each, in order", AuctionReply)},
        (401, 403, 409, 413, 422, 503), token=True, body=CreateRequest, parameters=(_KEY,),
        multi="application/x-ndjson",
    ),
    Operation(
        "get", "/auctions/{guid}", "One auction's terms and state; with an operator's token also `unpaid`",
        {200: ("The auction", AuctionReply)}, (401, 404, 422, 503),
    ),
    *(
        Operation(
            "get", f"/auctions/{{guid}}/bids.{form}",
            f"The log as {form.upper()}: bids; with an operator's token everything",
            {200: (f"Columns {', '.join(PUBLIC_COLUMNS)}; for operators {', '.join(COLUMNS)}, where `details` has what "
                   "an act changed, null for what it removed", media_type)},
            (401, 404, 409, 422, 503),
        )
        for form, media_type in (("csv", "text/csv"), ("ndjson", "application/x-ndjson"))
    ),
    Operation(
        "patch", "/auctions/{guid}", "Change title, reserve, or closing to later (operators)",
        {200: ("It is changed", AuctionReply)}, _ACT_PROBLEMS, token=True, body=EditRequest,
    ),
    *(
        Operation(
            "post", f"/auctions/{{guid}}/{name}", f"{summary} (operators)", {200: ("It is done", AuctionReply)},
            _ACT_PROBLEMS, token=True, body=body,
        )
        for name, summary, body in (
            ("cancel", "Cancel an auction", ReasonRequest),
            ("close", "Close an auction now", ReasonRequest),
            ("extend", "Move the closing to a later time", ExtendRequest),
            ("pause", "Stop an auction's clock", ReasonRequest),
            ("resume", "Resume a paused auction", ReasonRequest),
            ("void", "Declare all bids of a bidder void", VoidRequest),
            ("reopen", "Open an auction again that is over", ReopenRequest),
            ("second-offer", "Sell a lot that its winner does not take to an underbidder", SecondOfferRequest),
            ("unpaid", "Note that the winner has not paid", ReasonRequest),
            ("paid", "Remove that note", ReasonRequest),
            ("archive", "Take an auction that is over out of all listings", ReasonRequest),
            ("unarchive", "Put an auction back into the listings", ReasonRequest),
        )
    ),
    Operation(
        "delete", "/auctions/{guid}", "Delete an auction that is not open, with all its data (operators)",
        {204: ("It is gone", None)}, _ACT_PROBLEMS, token=True, body=ReasonRequest,
    ),
    Operation(
        "post", "/bidders/erase", "Replace a bidder's id by pseudonyms, in all auctions that are over (operators)",
        {200: ("It is replaced there", ErasedReply)}, (401, 403, 413, 422, 503), token=True, body=EraseRequest,
    ),
    Operation(
        "post", "/auctions/{guid}/refresh", "Read an auction again and push it (operators)",
        {202: ("The push will follow", RefreshReply)}, (401, 403, 422), token=True,
    ),
    Operation(
        "post", "/guest", "A token for a visitor (only with --demo)", {201: ("The token", GuestReply)},
    ),
    Operation(
        "get", "/me/standings", "How you stand in several auctions (bidders)",
        {200: ("Those in which you have bid", StandingsReply)}, (401, 403, 422, 503), token=True, parameters=(_GUIDS,),
    ),
    Operation(
        "get", "/me/stream", "Watch how you stand in several auctions (bidders)",
        {200: ("Server-Sent Events: `standing` with a standing, once at the start and when it changes; `hb`, `busy`",
               "text/event-stream")},
        (401, 403, 422), token=True, parameters=(_GUIDS,),
    ),
    Operation("get", "/livez", "Whether the process works", {200: ("It works", dict), 503: ("A part has died", dict)}),
    Operation("get", "/readyz", "Whether to send requests here", {200: ("Ready", dict), 503: ("Not ready", dict)}),
    Operation("get", "/metrics", "Prometheus metrics", {200: ("All metrics", "text/plain")}),
    Operation("get", "/openapi.json", "This description", {200: ("OpenAPI 3.1", dict)}),
    Operation("get", "/", "The page of the open lots, 50 at a time", {200: ("The page", "text/html"), 304: _UNCHANGED}),
    Operation("get", "/lots/{guid}", "The page of one lot", {200: ("The page", "text/html"), 304: _UNCHANGED}),
    Operation(
        "get", "/static/{path}", "Scripts, styles and pictures of the pages; the embed",
        {200: ("The file", "*/*"), 304: _UNCHANGED}, (404,),
    ),
)  # fmt: skip

_PROBLEMS = {
    401: "No token, or an invalid one",
    403: "The token does not permit this",
    404: "There is no such auction, bid or file",
    409: "The auction's state does not allow it; the answer contains the state",
    413: "The body is larger than 16 KB, or than 32 MB for several auctions",
    422: "The request is wrong; the detail names the error",
    429: "Too many requests; Retry-After has the seconds to wait",
    503: "No answer from the store (the outcome may be unknown), or overload; Retry-After has the seconds to wait",
}


@cache
def document(*, demo: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    operations = [each for each in OPERATIONS if demo or each.path != "/guest"]
    shapes = {
        shape
        for each in operations
        for shape in (each.body, *(reply[1] for reply in each.replies.values()))
        if isinstance(shape, type) and shape is not dict
    } | {ProblemReply}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _describe(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sse-auction",
            "version": __version__,
            "description": "Live maximum prices for auctions, pushed to every watcher over Server-Sent Events.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _describe(operation: Operation) -> dict[str, Any]:
    replies: dict[str, Any] = {
        str(status): {"description": meaning} | _content(shape)
        for status, (meaning, shape) in operation.replies.items()
    }
    problem = {"schema": {"$ref": "#/components/schemas/ProblemReply"}}
    for status in operation.problems:
        replies[str(status)] = {
            "description": _PROBLEMS[status], "content": {"application/problem+json": problem},
        }  # fmt: skip
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    path_parameters = [_parameter(name, "path", _PATH_PARAMETERS[name]) | {"required": True} for name in names]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "description": _SEE.sub("", DESCRIPTIONS[f"{operation.method.upper()} {operation.path}"]),
        "parameters": [*path_parameters, *operation.parameters],
        "responses": replies,
    }
    if operation.body is not None:
        schema = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.multi:
        for each in (described["requestBody"], replies["201"]):
            each["content"][operation.multi] = {"schema": {"type": "string"}}
    if operation.token:
        described["security"] = [{"token": []}]
    return described


_SEE = re.compile(r"[,;] see \[[^]]*\]\([^)]*\)")  # a reference to another section of docs/reference.md
_PATH_PARAMETERS = {"guid": "the auction: 1 to 64 of A-Z a-z 0-9 _ -", "path": "the file"}


def _content(shape: Any) -> dict[str, Any]:
    if shape is None:
        return {}
    if isinstance(shape, str):
        return {"content": {shape: {"schema": {"type": "string"}}}}
    schema = {"type": "object"} if shape is dict else {"$ref": f"#/components/schemas/{shape.__name__}"}
    return {"content": {"application/json": {"schema": schema}}}
