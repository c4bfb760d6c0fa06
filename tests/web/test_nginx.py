"""Behind Debian's nginx with nothing set but `proxy_pass` and compression: prices still come at once."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.support.harness import DEADLINE_SECONDS, Server, StoreProcess, bid, create, free_port, running_server, until
from tests.support.pages import OpenPage, expect_connection, expect_price, expect_standing, lot_url, place_bid

pytest_plugins = ["tests.support.browser"]

HEARTBEAT_SECONDS = 1.0
PROMISED_SECONDS = 1.0  # from the write of a price to its arrival

# The paths only keep nginx in its directory. The way it serves a proxied response is the default.
CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  gzip on;
  gzip_types text/event-stream application/json text/javascript text/css;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {upstream}; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def upstream(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(
        tmp_path_factory.mktemp("upstream"), REDIS_URL=valkey.url, SSE_AUCTION_HEARTBEAT_SECONDS=str(HEARTBEAT_SECONDS)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(upstream: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same service, through nginx."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert program, "nginx is not installed; scripts/install-system-packages.sh nginx"
    prefix = tmp_path_factory.mktemp("nginx")
    port = free_port()
    (prefix / "nginx.conf").write_text(CONFIGURATION.format(port=port, upstream=upstream.url))
    command = [program, "-p", str(prefix), "-c", "nginx.conf", "-e", "error.log"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as nginx:
        try:
            until(partial(is_answering, f"{url}/readyz"), f"nginx; its log is {prefix}/error.log")
            yield Server(command, {}, prefix / "error.log", url=url, port=port)
        finally:
            nginx.terminate()


def is_past(moment: float) -> bool:
    return time.monotonic() >= moment


def is_answering(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def test_prices_come_at_once_and_silence_has_heartbeats(proxied: Server, valkey: StoreProcess, guid: str) -> None:
    """The first state at once, each of five prices within a second of its write, and heartbeats between them."""
    with valkey.client() as site, ExitStack() as connections:
        viewers = []
        for encoding in ("gzip", "identity"):
            asked = time.monotonic()
            viewers.append(connections.enter_context(viewer(proxied, guid, encoding)))
            assert next(viewers[-1]).json()["status"] == "unknown"
            assert time.monotonic() - asked < PROMISED_SECONDS
        for number in range(1, 6):
            written = time.monotonic()
            site.set(f"AuctionMaxPrice-{guid}", number)
            for events in viewers:
                price = next(event for event in events if event.event == "price")
                assert time.monotonic() - written < PROMISED_SECONDS
                assert price.json()["price"] == f"{number}.00"
            for events in viewers:
                assert next(events).event == "hb"
            until(partial(is_past, written + 1), "the next second")


@contextmanager
def viewer(proxied: Server, guid: str, encoding: str) -> Iterator[Iterator[ServerSentEvent]]:
    """The events of a stream that nginx sends in this encoding."""
    url, headers = f"{proxied.url}/auctions/{guid}/stream", {"Accept-Encoding": encoding}
    with (
        httpx.Client(timeout=DEADLINE_SECONDS) as client,
        connect_sse(client, "GET", url, headers=headers) as source,
    ):
        assert source.response.headers["server"].startswith("nginx")
        assert source.response.headers.get("content-encoding", "identity") == encoding
        yield source.iter_sse()


def test_long_polls_and_bids_pass(proxied: Server, guid: str) -> None:
    create(proxied, guid)
    url = f"{proxied.url}/auctions/{guid}/price"
    first = httpx.get(url)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(
            httpx.get, url, params={"wait": 30}, headers={"If-None-Match": first.headers["etag"]}, timeout=40
        )
        accepted = bid(proxied, guid, "ann", "10.00", headers={"Idempotency-Key": guid})
        assert (accepted.status_code, held.result().json()["price"]) == (201, "10.00")
    again = bid(proxied, guid, "ann", "10.00", headers={"Idempotency-Key": guid})
    assert again.headers["idempotent-replayed"] == "true"
    refused = bid(proxied, guid, "bob", "10.00")
    assert (refused.status_code, refused.json()["next_bid"]) == (409, "11.00")
    assert refused.headers["content-type"] == "application/problem+json"
    assert httpx.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    newest = httpx.get(url).headers["etag"]
    assert httpx.get(url, headers={"If-None-Match": newest}).status_code == 304


def test_a_viewer_that_leaves_nginx_is_removed_behind_it(upstream: Server, proxied: Server, guid: str) -> None:
    with httpx.stream("GET", f"{proxied.url}/auctions/{guid}/stream") as reply:
        chunks = reply.iter_raw()
        assert next(chunks)
        until(lambda: upstream.metric("sse_auction_streams") == 1, "the end of all streams before")
    until(lambda: upstream.metric("sse_auction_streams") == 0, "the end of the stream")


def test_a_page_behind_nginx_is_live(proxied: Server, open_page: OpenPage, guid: str) -> None:
    create(proxied, guid)
    page = open_page(lot_url(proxied, guid, "ann"))
    expect_connection(page, "live")
    place_bid(page, "10")
    expect_standing(page, "leading", "You hold the highest bid")
    bid(proxied, guid, "bob", "20.00")
    expect_price(page, "20.00")
    expect_connection(page, "live")
