"""Problem documents: every refusal as RFC 9457 has it, and the handlers that make them of exceptions."""

import logging
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sse_auction.auction import State
from sse_auction.wire import ProblemReply, encode

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2

_STATUS_OF_CODE = {
    "invalid": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "unknown_auction": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_low": 409,
    "too_high": 409,
    "not_open": 409,
    "already_leading": 409,
    "exists": 409,
    "too_large": 413,
    "rate_limited": 429,
    "internal": 500,
    "store_unavailable": 503,
}


class Problem(Exception):
    """A request that is refused; raised anywhere in a handler, sent as a problem document."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        state: State | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.title = title
        self.state = state
        self.retry_after = retry_after
        self.headers = headers or {}

    def response(self) -> Response:
        """The problem document."""
        status = _STATUS_OF_CODE[self.code]
        document = ProblemReply(
            status=status,
            title=self.title or HTTPStatus(status).phrase,
            detail=self.detail,
            code=self.code,
            next_bid=self.state.next_bid if self.state else None,
            state=self.state,
            retry_after=self.retry_after,
        )
        headers = {"cache-control": "no-store", **self.headers}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return Response(encode(document), status, headers, media_type="application/problem+json")


async def on_problem(request: Request, exc: Exception) -> Response:
    """Send a raised `Problem`."""
    assert isinstance(exc, Problem)
    return exc.response()


async def on_store_unavailable(request: Request, exc: Exception) -> Response:
    """The store did not answer: say so, and when to come back."""
    return Problem("store_unavailable", str(exc), retry_after=RETRY_AFTER_SECONDS).response()


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """Starlette's own refusals: no such route, no such method, a body that is too large."""
    assert isinstance(exc, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    details = {
        404: f"there is nothing at {request.url.path[:200]}",
        405: f"{request.method} is not possible at {request.url.path[:200]}",
        413: "the body is larger than 16 KB",
    }
    if exc.status_code not in codes:
        return Problem("invalid", exc.detail).response()
    headers = dict(exc.headers or {})
    return Problem(codes[exc.status_code], details[exc.status_code], headers=headers).response()


async def on_decode_error(request: Request, exc: Exception) -> Response:
    """A body that is no JSON, or not of the right shape: msgspec names the place."""
    what = "the body does not fit" if isinstance(exc, msgspec.ValidationError) else "the body is not JSON"
    return Problem("invalid", f"{what}: {exc}").response()


async def on_unexpected(request: Request, exc: Exception) -> Response:
    """A bug: logged by the server with its traceback, told without details."""
    return Problem("internal", "something went wrong here; it has been logged").response()
