"""Handlers as ASGI applications.

Starlette takes a handler as it is, but then wraps each request once more in the handling of exceptions that its
middleware does anyway: a tenth of the cost of a poll.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.logs import REQUEST_ID_HEADER, begin_request


def request_id_header(scope: Scope) -> tuple[bytes, bytes]:
    """Begin a request; the header by which its response names it."""
    return REQUEST_ID_HEADER, begin_request(scope["headers"]).encode()


class Endpoint:
    """Answers each request with the response of a handler."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = request_id_header(scope)
        response = await self._handle(Request(scope, receive, send))
        response.raw_headers.append(header)
        await response(scope, receive, send)
