"""Wrong input: refused with a problem document that names what is wrong, and nothing has changed."""

import json
import re
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.harness import OPERATOR, SECRET, Server, StoreProcess, bid, bidder, create, until
from tests.support.openapi_client import openapi_client, problem

LIMIT_BYTES = 16 * 1024


@pytest.fixture(scope="module")
def lot(service: Server) -> str:
    """An auction with a bid."""
    guid = str(uuid.uuid4())
    create(service, guid)
    assert bid(service, guid, "ann", "10.00").status_code == 201
    return guid


@pytest.fixture
def auction(lot: str, valkey: StoreProcess) -> Iterator[str]:
    """An auction that no request of a test may change in the store: price, log, revision."""
    with valkey.client() as store:

        def contents() -> dict[str, Any]:
            keys = sorted(set(store.keys(f"*{lot}*")))
            return {key: store.dump(key) for key in keys} | {"auctions": store.zcard("sse-auction:auctions")}

        before = contents()
        yield lot
        assert contents() == before


def price_body(literal: str) -> bytes:
    return f'{{"price": {literal}}}'.encode()


NOT_JSON = "the body is not JSON"
NO_FIT = "the body does not fit"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", NOT_JSON),
        (b"{", NOT_JSON),
        (b'{"price": "20.00"', NOT_JSON),
        (b'{"price": "20.00"} trailing', NOT_JSON),
        (b"{'price': '20.00'}", NOT_JSON),
        (b"price=20.00", NOT_JSON),
        (b"\xff\xfe\x00", NOT_JSON),
        (b'{"price": "\xff"}', NOT_JSON),
        (b'{"price": "\\ud800"}', NOT_JSON),
        (b'\xef\xbb\xbf{"price": "20.00"}', NOT_JSON),
        (b"null", f"{NO_FIT}: Expected `object`, got `null`"),
        (b'"20.00"', f"{NO_FIT}: Expected `object`, got `str`"),
        (b'[{"price": "20.00"}]', f"{NO_FIT}: Expected `object`, got `array`"),
        (b"[" * 16_000, f"{NO_FIT}: Expected `object`, got `array`"),
        (b'{"price": ' + b"[" * 16_000, "`$.price`"),
        (b"{}", "this one has none"),
        (price_body("20"), "`$.price`"),
        (price_body("20.00"), "`$.price`"),
        (price_body("null"), "this one has none"),
        (price_body("true"), "`$.price`"),
        (price_body('["20.00"]'), "`$.price`"),
        (price_body('{"amount": "20.00"}'), "`$.price`"),
        (price_body("NaN"), NOT_JSON),
        (price_body("Infinity"), NOT_JSON),
        (price_body("-Infinity"), NOT_JSON),
        (b'{"price": "20.00", "bidder": "bob"}', "unknown field `bidder`"),
        (b'{"price": "20.00", "max": "90.00"}', "this one has price and max"),
        (b'{"price": "20.00", "buy_now": true}', "this one has price and buy_now"),
        (b'{"max": "90.00"}', "takes prices, not maxima"),
        (b'{"max": 90}', "`$.max`"),
        (b'{"buy_now": "yes"}', "`$.buy_now`"),
        (b'{"price": "20.00", "confirm": "yes"}', "`$.confirm`"),
        (b'{"price": "20.00", "confirm": 1}', "`$.confirm`"),
    ],
)
def test_a_body_that_is_no_bid(client: httpx.Client, auction: str, body: bytes, said: str) -> None:
    refused = client.post(f"/auctions/{auction}/bids", content=body, headers=bidder("bob"))
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert said in problem(refused)["detail"]


@pytest.mark.parametrize(
    "price",
    [
        "", " ", "20,00", "20.", ".5", "20.001", "20.000", "0x14", "1e3", "2E1", "+20.00", "-20.00", "-0", "020.00",
        "1_000", "20.00 ", " 20.00", "20.00\n", "20\u0000", "NaN", "nan", "Infinity", "inf", "twenty", "¥20", "20 CNY",
        "\uff12\uff10.00", "\u0662\u0660", "20\uff0e00",  # full-width and Arabic digits, a full-width stop
        "90071992547409.92", "9" * 40, "20.00; DROP TABLE bids", "20.00\r\nHSET x", "\u202e00.02",
    ],
)  # fmt: skip
def test_a_price_that_is_no_amount(client: httpx.Client, auction: str, price: str) -> None:
    refused = client.post(f"/auctions/{auction}/bids", json={"price": price}, headers=bidder("bob"))
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert f"price {price!r}" in problem(refused)["detail"]


def test_a_price_longer_than_any_amount(client: httpx.Client, auction: str) -> None:
    refused = client.post(f"/auctions/{auction}/bids", json={"price": "9" * 41}, headers=bidder("bob"))
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert "`$.price`" in problem(refused)["detail"]


WANTED = {"title": "A vase", "start_price": "10.00", "closes_at": 4_000_000_000_000}


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"title": None}, "`$.title`"),
        ({"title": 5}, "`$.title`"),
        ({"title": ""}, "title is blank"),
        ({"title": "x" * 201}, "title has 201 characters; at most 200 are possible"),
        ({"title": "a\nb"}, "title"),
        ({"title": "a\u0000b"}, "title"),
        ({"start_price": 10}, "`$.start_price`"),
        ({"start_price": 10.5}, "`$.start_price`"),
        ({"start_price": "1e3"}, "'1e3'"),
        ({"start_price": "10.001"}, "'10.001' has 3 decimals, CNY has 2"),
        ({"start_price": "10.5", "currency": "JPY"}, "'10.5' has 1 decimal, JPY has 0"),
        ({"start_price": "-1.00"}, "'-1.00'"),
        ({"start_price": "90071992547409.92"}, "'90071992547409.92'"),
        ({"closes_at": "tomorrow"}, "`$.closes_at`"),
        ({"closes_at": "4000000000000"}, "`$.closes_at`"),
        ({"closes_at": 4_000_000_000_000.5}, "`$.closes_at`"),
        ({"closes_at": True}, "`$.closes_at`"),
        ({"closes_at": -1}, "`$.closes_at`"),
        ({"closes_at": 10**30}, "`$.closes_at`"),
        ({"opens_at": "now"}, "`$.opens_at`"),
        ({"currency": "cny"}, "'cny'"),
        ({"currency": 156}, "`$.currency`"),
        ({"guid": ""}, "`$.guid`"),
        ({"guid": "x" * 65}, "`$.guid`"),
        ({"guid": "a b"}, "`$.guid`"),
        ({"guid": "lot\n"}, "'lot\\n'"),
        ({"guid": "a}b{"}, "`$.guid`"),
        ({"guid": "l\u043et"}, "`$.guid`"),  # a Cyrillic o
        ({"guid": 7}, "`$.guid`"),
        ({"increments": "flat:0"}, "0"),
        ({"increments": "flat:1.001"}, "'1.001'"),
        ({"increments": "flat:" + "9" * 80}, "`$.increments`"),
        ({"increments": [{"from": "0.00", "step": "1.00", "to": "9.00"}]}, "`to`"),
        ({"increments": [{"from": "0.00"}]}, "`step`"),
        ({"increments": [{"from": "0.00", "step": "5.00"}, {"from": "9.00", "step": "1.00"}]}, "1.00 from 9.00"),
        ({"increments": 5}, "`$.increments`"),
        ({"seller": ""}, "seller is blank"),
        ({"bids": 99}, "`bids`"),
    ],
)
def test_terms_of_the_wrong_shape(client: httpx.Client, auction: str, others: dict[str, Any], said: str) -> None:
    body = json.dumps({**WANTED, "guid": f"{auction[:8]}-new", **others})
    refused = client.post("/auctions", content=body, headers=OPERATOR)
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert said in problem(refused)["detail"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a%7Bb%7D", "'a{b}'"),
        ("%7BAuctionMaxPrice-x%7D:bids", "'{AuctionMaxPrice-x}:bids'"),
        ("a%0Ab", r"'a\nb'"),
        ("a%00b", r"'a\x00b'"),
        ("a%0D%0AHost:%20x", r"'a\r\nHost: x'"),
        ("%E6%9D%B1", "'東'"),
        ("%ff", "'\ufffd'"),
        ("a%20b", "'a b'"),
        ("a*b", "'a*b'"),
        ("x" * 65, "'xxxx"),
        ("x" * 4000, "'xxxx"),
        ("stream", "'stream' is reserved"),
    ],
)
def test_a_guid_that_can_name_no_auction(client: httpx.Client, auction: str, name: str, shown: str) -> None:
    for method, path, options in (
        ("GET", f"/auctions/{name}/price", {}),
        ("GET", f"/auctions/{name}/bids", {}),
        ("POST", f"/auctions/{name}/bids", {"json": {"price": "1.00"}, "headers": bidder("bob")}),
        ("POST", f"/auctions/{name}/refresh", {"headers": OPERATOR}),
        ("GET", f"/auctions/{name}/stream", {}),
    ):
        refused = client.request(method, path, **options)  # type: ignore[arg-type]  # mixed options
        assert (refused.status_code, problem(refused)["code"]) == (422, "invalid"), path
        assert shown in problem(refused)["detail"]
        assert len(problem(refused)["detail"]) < 200, "a long input is not sent back in full"


@pytest.mark.parametrize("key", ["", "x" * 129, "a\tb", "caf\xe9"])
def test_a_wrong_idempotency_key(client: httpx.Client, auction: str, key: str) -> None:
    headers: dict[str, Any] = {**bidder("bob"), "Idempotency-Key": key.encode("latin-1")}
    refused = client.post(f"/auctions/{auction}/bids", json={"price": "20.00"}, headers=headers)
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert "Idempotency-Key" in problem(refused)["detail"]


def test_a_body_that_is_too_large(client: httpx.Client, auction: str) -> None:
    padding = b" " * (LIMIT_BYTES - len(price_body('"20.00"')) + 1)
    large = price_body('"20.00"') + padding
    assert len(large) == LIMIT_BYTES + 1
    for path, headers in ((f"/auctions/{auction}/bids", bidder("bob")), ("/auctions", OPERATOR)):
        for content in (large, iter([large[:9000], large[9000:]]), iter([b" " * 1000] * 1000)):
            refused = client.post(path, content=content, headers=headers)
            assert (refused.status_code, problem(refused)["code"]) == (413, "too_large")
            assert "16384 bytes" in problem(refused)["detail"]
    fits = client.post(f"/auctions/{auction}/bids", content=b"x" + large[2:], headers=bidder("bob"))
    assert fits.status_code == 422, "the limit itself is allowed: this body failed because of its content"


def test_a_client_that_leaves_during_its_request_is_no_error_of_the_service(service: Server, auction: str) -> None:
    head = f"POST /auctions/{auction}/bids HTTP/1.1\r\nHost: x\r\nAuthorization: {bidder('bob')['Authorization']}\r\n"
    before = service.metric("sse_auction_bids_total", result="invalid")
    for framing, part in (("Content-Length: 20", b'{"price": "20'), ("Transfer-Encoding: chunked", b"5\r\n{\r\n")):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"{head}{framing}\r\n\r\n".encode() + part)
    until(lambda: service.metric("sse_auction_bids_total", result="invalid") == before + 2, "both to be given up")
    assert "Traceback" not in service.log()


# --- paths, methods, and bytes that are not HTTP -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/auctions/x/y/z", "/auctions/x/maximum", "/lots", "//evil.example/x", "/%00", "/guest"]
)
def test_an_unknown_path(service: Server, path: str) -> None:
    refused = httpx.get(service.url + path)
    assert (refused.status_code, problem(refused)["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/auctions", {"GET", "HEAD", "POST"}),
        ("/auctions/x", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/auctions/x/pause", {"POST"}),
        ("/auctions/x/bids", {"GET", "HEAD", "POST"}),
        ("/auctions/x/price", {"GET", "HEAD"}),
        ("/auctions/x/refresh", {"POST"}),
        ("/auctions/x/stream", {"GET", "HEAD"}),
        ("/livez", {"GET", "HEAD"}),
        ("/", {"GET", "HEAD"}),
        ("/static/page.css", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_ones(client: httpx.Client, path: str, allowed: set[str]) -> None:
    for method in ("DELETE", "PUT", "OPTIONS", "POST", "GET"):
        if method in allowed:
            continue
        refused = client.request(method, path)
        assert (refused.status_code, problem(refused)["code"]) == (405, "method_not_allowed")
        assert set(refused.headers["allow"].split(", ")) == allowed
        assert f"{method} is not possible at {path}" in problem(refused)["detail"]


def test_head_gives_the_head_alone(any_server: Server, guid: str) -> None:
    create(any_server, guid)
    with openapi_client(any_server) as client:
        for path in (f"/auctions/{guid}/price", f"/auctions/{guid}", "/auctions", "/livez", "/", "/static/page.css"):
            whole, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == whole.headers["content-type"]
        assert client.head(f"/auctions/{guid}x/price").status_code == 404
        stream = client.head(f"/auctions/{guid}/stream")
        assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert client.get("/livez").status_code == 200, "on the same connection"
    until(lambda: any_server.metric("sse_auction_streams") == 0, "the HEAD to hold no stream")


def exchange(server: Server, request: bytes) -> bytes:
    """All that the server answers to raw bytes until it closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        while chunk := connection.recv(65536):
            received += chunk
    return received


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBroken header\r\n\r\n",
        b"POST /auctions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /auctions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /auctions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_disconnected(service: Server, request_bytes: bytes) -> None:
    answer = exchange(service, request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert httpx.get(f"{service.url}/livez").status_code == 200


@pytest.mark.parametrize("host", [b"[", b"", b"x:y", b"a b", b"\xff", b"evil.example"])
def test_no_host_header_breaks_a_request(service: Server, auction: str, host: bytes) -> None:
    for path, status in ((b"/nothing", b"404"), (f"/auctions/{auction}/price".encode(), b"200")):
        answer = exchange(service, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert re.match(rb"HTTP/1.1 (\d+)", answer)[1] == status  # type: ignore[index]  # an answer always matches


def test_no_request_made_a_traceback(service: Server) -> None:
    """The last test of this file: no request above was answered with a traceback."""
    assert "Traceback" not in service.log()
    assert service.metric("sse_auction_bids_total", result="error") == 0
    assert SECRET not in service.log()
