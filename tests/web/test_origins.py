"""Pages of other origins, and the pages and files of this service."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.harness import Server, StoreProcess, create, running_server
from tests.support.openapi_client import problem

SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def embedded_elsewhere(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("cors")
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_CORS_ORIGINS=f"{SHOP}, http://b.example") as it:
        yield it


@pytest.mark.parametrize(
    "path", ["/auctions/GUID/price", "/auctions/GUID/stream", "/static/auction-price.js", "/auctions/a%20b/price"]
)
def test_allowed_origins_may_read_and_others_may_not(embedded_elsewhere: Server, guid: str, path: str) -> None:
    create(embedded_elsewhere, guid)
    url = embedded_elsewhere.url + path.replace("GUID", guid)
    for origin, allowed in (
        (SHOP, SHOP),
        ("http://b.example", "http://b.example"),
        ("https://evil.example", None),
        (f"{SHOP}.evil.example", None),
        ("null", None),
    ):
        for cookie in ({}, {"Cookie": "a=b"}):
            with httpx.stream("GET", url, headers={"Origin": origin, **cookie}) as reply:
                assert reply.headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in reply.headers
                assert "Origin" in reply.headers["vary"], "or a cache gives one origin's headers to another"


def test_a_page_of_an_allowed_origin_may_bid(embedded_elsewhere: Server) -> None:
    url = f"{embedded_elsewhere.url}/auctions/x/bids"
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }
    allowed = httpx.options(url, headers={"Origin": SHOP, **asked})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "POST" in allowed.headers["access-control-allow-methods"]
    names = allowed.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "last-event-id", "if-none-match"} <= set(names)
    refused = httpx.options(url, headers={"Origin": "https://evil.example", **asked})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    seen = httpx.post(url, headers={"Origin": SHOP}, json={})
    exposed = {name.strip() for name in seen.headers["access-control-expose-headers"].split(",")}
    assert exposed == {"ETag", "Location", "Retry-After", "Idempotent-Replayed", "X-Request-ID"}


def test_any_origin_never_comes_with_credentials(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_CORS_ORIGINS="*") as server:
        for headers in ({}, {"Cookie": "a=b"}):
            reply = httpx.get(f"{server.url}/auctions/{guid}/price", headers={"Origin": SHOP, **headers})
            assert reply.headers["access-control-allow-origin"] in ("*", SHOP)
            assert "access-control-allow-credentials" not in reply.headers


def test_without_the_setting_no_other_origin_is_allowed(service: Server) -> None:
    reply = httpx.get(f"{service.url}/auctions", headers={"Origin": SHOP})
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert httpx.options(f"{service.url}/auctions", headers={"Origin": SHOP}).status_code == 405


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        ("/lots/some-lot", "text/html"),
        ("/static/auction-price.js", "text/javascript"),
        ("/static/page.css", "text/css"),
    ],
)
def test_pages_and_files_are_guarded_and_asked_for_again_cheaply(
    client: httpx.Client, path: str, content_type: str
) -> None:
    first = client.get(path)
    assert (first.status_code, first.headers["content-type"].partition(";")[0]) == (200, content_type)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    for reply in (first, again):
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "same-origin"
        policy = reply.headers["content-security-policy"]
        assert {"default-src 'self'", "base-uri 'none'", "frame-ancestors 'self'"} <= set(policy.split("; "))
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path", ["/static/nothing.js", "/static/", "/static/%2e%2e/pyproject.toml", "/static/..%2f..%2fetc/passwd"]
)
def test_no_other_file_is_served(client: httpx.Client, path: str) -> None:
    assert problem(client.get(path))["code"] == "not_found"
