"""/openapi.json is a valid description, of the routes that there are and of no others.

Every test with an `openapi_client` checks that real replies match it.
"""

import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema_path
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import BaseRoute, Mount, Route

from sse_auction import __version__
from sse_auction.app import DEMO_ROUTES, ROUTES
from sse_auction.web.openapi import OPERATIONS
from tests.support.harness import Server, StoreProcess, bidder, create, running_server
from tests.support.openapi_client import Description, openapi_client


def routes_of(routes: list[BaseRoute]) -> set[tuple[str, str]]:
    """(method, path) of every route, without HEAD."""
    found = set()
    for route in routes:
        if isinstance(route, Mount):
            found.add(("get", f"{route.path}/{{path}}"))
        else:
            assert isinstance(route, Route)
            found |= {(method.lower(), route.path) for method in (route.methods or set()) - {"HEAD"}}
    return found


def described_of(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, operations in document["paths"].items() for method in operations}


def test_every_route_is_described_and_every_description_is_a_route(valkey: StoreProcess, directory: Path) -> None:
    for demo, routes in (("0", ROUTES), ("1", ROUTES + DEMO_ROUTES)):
        with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_DEMO=demo) as server:
            document = Description(server).document
            assert described_of(document) == routes_of(routes)
            assert document["info"]["version"] == __version__
            with openapi_client(server) as client:
                guest = client.post("/guest")
                assert guest.status_code == (201 if demo == "1" else 404)
        (directory / "server.log").unlink()


def test_the_description_is_valid_openapi(any_server: Server) -> None:
    document = httpx.get(f"{any_server.url}/openapi.json").json()
    OpenAPIV31SpecValidator(jsonschema_path.SchemaPath.from_dict(document)).validate()


def test_what_needs_a_token_says_so(any_server: Server) -> None:
    for path, operations in Description(any_server).document["paths"].items():
        for method, described in operations.items():
            changes = method in ("post", "patch", "delete") and path.startswith(("/auctions", "/bidders"))
            needs_token = changes or path.startswith("/me/")
            assert ("security" in described) == needs_token
            shows_more = "/bids." in path or path == "/auctions/{guid}"  # with a token, where it is not needed
            takes_token = needs_token or shows_more
            assert ("401" in described["responses"]) == takes_token


@pytest.mark.parametrize("path", sorted({each.path for each in OPERATIONS if each.method == "get"}))
def test_every_page_and_probe_answers_as_described(any_server: Server, guid: str, path: str) -> None:
    create(any_server, guid)
    address = path.replace("{guid}", guid).replace("{path}", "page.css")
    if "/stream" in path:
        with httpx.stream("GET", any_server.url + address, params={"guid": guid}, headers=bidder("ann")) as stream:
            described = Description(any_server).document["paths"][path]["get"]["responses"]["200"]["content"]
            assert stream.status_code == 200
            assert stream.headers["content-type"].partition(";")[0] in described
        return
    headers, params = (bidder("ann"), {"guid": guid}) if path.startswith("/me/") else ({}, None)
    with openapi_client(any_server) as client:
        assert client.get(address, headers=headers, params=params).status_code == 200


def test_the_shapes_of_requests_refuse_what_the_service_refuses(any_server: Server) -> None:
    """A client can check a body against the description before it sends it."""
    schemas = Description(any_server).document["components"]["schemas"]
    assert schemas["BidRequest"]["required"] == []
    assert set(schemas["CreateRequest"]["required"]) == {"title", "start_price", "closes_at"}
    for name in ("BidRequest", "CreateRequest", "BandRequest", "VoidRequest", "EditRequest", "ReasonRequest"):
        assert schemas[name]["additionalProperties"] is False
    (pattern,) = (
        each["pattern"] for each in schemas["CreateRequest"]["properties"]["guid"]["anyOf"] if "pattern" in each
    )
    assert re.search(pattern, "a-b_C9")
    assert not re.search(pattern, "a b")
