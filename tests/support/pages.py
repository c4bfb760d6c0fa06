"""The pages of the browser tests: those of the service, and a site of another origin."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Page, expect

from tests.support.harness import DEADLINE_SECONDS, TOKENS, Server

# Troubles on a page's console, as Chromium writes them.
REFUSED_BID = r"status of 409"
AWAITED_LOT = r"status of 404 .*/price"
LOST_CONNECTION = r"net::ERR_"

WITHOUT_EVENT_SOURCE = "delete window.EventSource"

expect.set_options(timeout=DEADLINE_SECONDS * 1000)

OpenPage = Callable[..., Page]  # see the fixture open_page


@dataclass
class ForeignSite:
    """A web site of another origin, of one page."""

    origin: str
    html: str = ""


@contextmanager
def running_site() -> Iterator[ForeignSite]:
    site = ForeignSite("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            body = site.html.encode()
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.origin = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def lot_url(server: Server, guid: str, bidder: str | None = None) -> str:
    """The address of a lot's page; with a bidder, the personal link that the auction house sends."""
    return f"{server.url}/lots/{guid}" + (f"#token={TOKENS.issue(bidder, name=bidder.title())}" if bidder else "")


def expect_connection(page: Page, connection: str = "live") -> None:
    expect(page.locator("html")).to_have_attribute("data-connection", connection)


def expect_price(page: Page, price: str) -> None:
    expect(page.locator("#price")).to_have_attribute("data-price", price)


def expect_standing(page: Page, standing: str, words: str) -> None:
    expect(page.locator("#standing")).to_have_attribute("data-standing", standing)
    expect(page.locator("#standing")).to_have_text(words)
    expect(page.locator("#standing")).to_be_visible()


def place_bid(page: Page, amount: str) -> None:
    page.locator("#amount").fill(amount)
    page.locator("#bid-submit").click()
