"""Problem documents (RFC 9457) for every refusal, and the handlers that make them from exceptions."""

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from sse_auction.auction.state import State
from sse_auction.logs import current_request
from sse_auction.metrics import STORE_ERRORS
from sse_auction.service import Service
from sse_auction.store.connection import CommandError, StoreError, StoreNotReady, StoreTimeout
from sse_auction.wire.refusals import Rejection
from sse_auction.wire.replies import ProblemReply, encode

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2

STATUS_OF_CODE = {
    "invalid": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "voided": 403,
    "unknown_auction": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_low": 409,
    "too_high": 409,
    "not_aligned": 409,
    "not_open": 409,
    "already_leading": 409,
    "exists": 409,
    "not_closed": 409,
    "too_late": 409,
    "not_sold": 409,
    "unchanged": 409,
    "no_underbidder": 409,
    "below_reserve": 409,
    "too_large": 413,
    "rate_limited": 429,
    "internal": 500,
    "overloaded": 503,
    "store_unavailable": 503,
}


class Problem(Exception):
    """A refused request. Any code in a handler may raise it; it is sent as a problem document."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        state: State | None = None,
        retry_after: int | None = None,
        reason: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.title = title
        self.state = state
        self.retry_after = retry_after
        self.reason = reason
        self.headers = headers or {}

    @classmethod
    def of(cls, rejection: Rejection) -> "Problem":
        """The problem for a rejection by a use case."""
        headers = {"idempotent-replayed": "true"} if rejection.replayed else None
        return cls(rejection.code, rejection.detail, state=rejection.state, reason=rejection.reason, headers=headers)

    def response(self) -> Response:
        """The problem document."""
        status = STATUS_OF_CODE[self.code]
        document = ProblemReply(
            status=status,
            title=self.title or HTTPStatus(status).phrase,
            detail=self.detail,
            code=self.code,
            next_bid=self.state.next_bid if self.state else None,
            state=self.state,
            retry_after=self.retry_after,
            reason=self.reason,
        )
        headers = {"cache-control": "no-store", **self.headers}
        if request_id := current_request():
            headers["x-request-id"] = request_id
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return Response(encode(document), status, headers, media_type="application/problem+json")


async def on_problem(request: Request, exc: Exception) -> Response:
    """Send a raised `Problem`."""
    assert isinstance(exc, Problem)
    return exc.response()


async def on_store_error(request: Request, exc: Exception) -> Response:
    """Answer 503 for a `StoreError`, with `Retry-After`.

    The outcome of a bid or an act is unknown after `StoreTimeout` and after a lost connection; the store may have
    executed it. A client may send it again with the same `Idempotency-Key`.
    """
    assert isinstance(exc, StoreError)
    service: Service = request.scope["state"]["app"].service
    explained = service.explained(exc)
    detail = str(explained)
    if explained is not exc:  # logged at its beginning already, and shown by the probe
        STORE_ERRORS.labels("refused").inc()
    elif isinstance(exc, (CommandError, StoreNotReady)):  # its message is for the log only
        STORE_ERRORS.labels("refused").inc()
        log.error("%s %s: %s", request.method, request.scope["path"], exc)
        detail = "the store refuses to do that now"
    elif isinstance(exc, StoreTimeout):
        STORE_ERRORS.labels("timeout").inc()
    return store_unavailable(detail).response()


def store_unavailable(detail: str) -> Problem:
    """The problem for a store that is not available now."""
    return Problem("store_unavailable", detail, retry_after=RETRY_AFTER_SECONDS)


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """Send Starlette's own refusals: no such route, no such method."""
    assert isinstance(exc, HTTPException)
    path = request.scope["path"][:200]
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return Problem("not_found", f"there is nothing at {path}").response()
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"allow": ", ".join(sorted(_methods_at(request)))}
        return Problem("method_not_allowed", f"{request.method} is not possible at {path}", headers=headers).response()
    return Problem("invalid", exc.detail).response()


def _methods_at(request: Request) -> set[str]:
    """The methods of all routes of the path; Starlette names only those of the first route."""
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in matching if isinstance(route, Route) for method in route.methods or ()}
    return methods or {"GET", "HEAD"}  # static files are not a `Route`


async def on_unexpected(request: Request, exc: Exception) -> Response:
    """Answer 500 for a bug, without details; the server logs its traceback."""
    return Problem("internal", "something went wrong here; it has been logged").response()
