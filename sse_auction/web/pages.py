"""The pages and the browser client, as files without a build; and the demo's guests."""

import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sse_auction.web.requests import app_state_of
from sse_auction.wire.replies import GuestReply, encode

GUEST_LIFE_SECONDS = 24 * 3600

_HEADERS = {
    "cache-control": "no-cache",  # browsers revalidate and get 304, so a new release shows at once
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


def static_directory() -> Path:
    """The directory of the pages: inside the package in a wheel, beside it in a checkout."""
    inside = Path(__file__).parent.parent / "static"
    return inside if inside.is_dir() else inside.parent.parent / "static"


class Pages(StaticFiles):
    """Static files with the headers that every page gets."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


pages = Pages(directory=static_directory(), check_dir=False)


async def lots_page(request: Request) -> Response:
    """The page of the open lots."""
    return await pages.get_response("index.html", request.scope)


async def lot_page(request: Request) -> Response:
    """The page of one lot; its script reads the guid from the address."""
    return await pages.get_response("lot.html", request.scope)


async def guest(request: Request) -> Response:
    """A token for a visitor of the demo."""
    bidder = f"guest-{secrets.token_hex(6)}"
    name = f"Guest {bidder[-4:]}"
    token = app_state_of(request).tokens.issue(bidder, name=name, life_seconds=GUEST_LIFE_SECONDS)
    return Response(encode(GuestReply(token, bidder, name)), 201, {"cache-control": "no-store"}, "application/json")
