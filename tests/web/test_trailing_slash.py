"""A path with an extra slash is not a route, and nothing that a client sends comes back as an address."""

import re

import httpx
import pytest
from starlette.routing import Mount, Route

from sse_auction.app import ROUTES
from tests.support.harness import OPERATOR, Server, create
from tests.support.openapi_client import problem

FORGED = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}


def _paths() -> list[tuple[str, str]]:
    found = [
        (method, each.path)
        for each in ROUTES
        if isinstance(each, Route) and each.path != "/"
        for method in sorted(each.methods or ())
    ]
    return found + [("GET", each.path) for each in ROUTES if isinstance(each, Mount)]


@pytest.mark.parametrize(("method", "path"), _paths())
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_slash_too_many_is_no_route(service: Server, guid: str, method: str, path: str, slashes: str) -> None:
    create(service, guid)
    url = service.url + re.sub(r"\{\w+\}", guid, path) + slashes
    refused = httpx.request(method, url, headers={**OPERATOR, **FORGED}, json={} if method == "POST" else None)
    assert refused.status_code == 404
    assert "location" not in refused.headers
    assert "evil" not in refused.text + str(refused.headers)
    if method != "HEAD":
        assert problem(refused)["code"] == "not_found"


def test_the_folder_of_static_files_without_its_slash_is_no_route(service: Server) -> None:
    refused = httpx.get(f"{service.url}/static", headers=FORGED)
    assert (refused.status_code, "location" in refused.headers) == (404, False)


def test_the_address_of_what_was_created_names_no_host(service: Server, guid: str) -> None:
    body = {"guid": guid, "title": "x", "start_price": "1.00", "closes_at": 4_000_000_000_000}
    made = httpx.post(f"{service.url}/auctions", json=body, headers={**OPERATOR, **FORGED})
    assert (made.status_code, made.headers["location"]) == (201, f"/auctions/{guid}")
