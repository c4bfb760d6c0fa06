"""Pages that lose the network, the service or the store and get it back: they show it, and lose no price."""

import signal
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.harness import Server, StoreProcess, bid, create, running_server, until
from tests.support.pages import (
    LOST_CONNECTION,
    WITHOUT_EVENT_SOURCE,
    ForeignSite,
    OpenPage,
    expect_connection,
    expect_price,
    lot_url,
)

pytest_plugins = ["tests.support.browser"]

NOTICED_MS = 4000  # a frozen store raises nothing; a page may take this long to show it
SLACK_MS = 2000  # for a busy machine

# Every price that the page has shown since the script ran, in order.
REMEMBER_PRICES = """() => {
  const price = document.getElementById('price');
  window.shownPrices = [price.dataset.price];
  const remember = () => window.shownPrices.push(price.dataset.price);
  new MutationObserver(remember).observe(price, { attributeFilter: ['data-price'] });
}"""

# A browser without windows shows every page; this lets a page be hidden as a tab in the background is.
HIDEABLE = """window.hide = (hidden) => {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => hidden ? 'hidden' : 'visible' });
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def not_live(page: Page) -> None:
    """The page says in its data and in words that its price may be old."""
    expect_connection(page, "offline")
    expect(page.locator("#connection")).to_have_text("Not live")
    expect(page.locator(".not-live")).to_be_visible()


def test_both_transports_come_back_after_a_killed_and_a_stopped_server(
    own_server: Server, open_page: OpenPage, guid: str
) -> None:
    create(own_server, guid)
    pages = {
        "live": open_page(lot_url(own_server, guid), troubles=[LOST_CONNECTION]),
        "polling": open_page(lot_url(own_server, guid), script=WITHOUT_EVENT_SOURCE, troubles=[LOST_CONNECTION]),
    }
    bid(own_server, guid, "ann", "10.00")
    for connection, page in pages.items():
        expect_connection(page, connection)
        expect_price(page, "10.00")
        page.evaluate(REMEMBER_PRICES)

    for number, price in ((signal.SIGKILL, "20.00"), (signal.SIGTERM, "30.00")):
        own_server.stop(number)
        if number == signal.SIGKILL:
            for page in pages.values():
                not_live(page)
        own_server.restart_on_same_port()
        assert bid(own_server, guid, price, price).status_code == 201
        for connection, page in pages.items():
            expect_price(page, price)
            expect_connection(page, connection)

    for page in pages.values():
        shown = [Decimal(price) for price in page.evaluate("window.shownPrices")]
        assert shown == [10, 20, 30], "every price once, and none goes back"


def test_a_frozen_store_makes_pages_show_that_they_are_not_live(
    own_store: StoreProcess, own_server: Server, open_page: OpenPage, guid: str
) -> None:
    create(own_server, guid)
    bid(own_server, guid, "ann", "10.00")
    pages = {
        "live": open_page(lot_url(own_server, guid)),
        "polling": open_page(lot_url(own_server, guid), script=WITHOUT_EVENT_SOURCE, troubles=["status of 503"]),
    }
    for connection, page in pages.items():
        expect_connection(page, connection)
        expect_price(page, "10.00")
    with own_store.frozen():
        noticed_ms = NOTICED_MS + SLACK_MS
        expect(pages["live"].locator("html")).to_have_attribute("data-connection", "offline", timeout=noticed_ms)
        for page in pages.values():
            not_live(page)
    until(own_server.is_ready, "readiness")
    assert bid(own_server, guid, "bob", "20.00").status_code == 201
    for connection, page in pages.items():
        expect_price(page, "20.00")
        expect_connection(page, connection)
        expect(page.locator(".not-live")).to_be_hidden()


def streams(server: Server) -> float:
    return server.metric("sse_auction_streams")


def test_a_page_in_the_back_forward_cache_holds_no_stream_and_returns_live(
    house: Server, foreign_site: ForeignSite, open_page: OpenPage, guid: str
) -> None:
    create(house, guid)
    page = open_page(lot_url(house, guid))
    expect_connection(page)
    until(lambda: streams(house) == 1, "the stream")
    page.evaluate("window.returned = false; addEventListener('pageshow', (e) => { window.returned = e.persisted; })")
    page.goto(foreign_site.origin)
    until(lambda: streams(house) == 0, "the end of the stream")
    bid(house, guid, "ann", "10.00")
    page.go_back(wait_until="commit")
    expect_price(page, "10.00")
    expect_connection(page)
    assert page.evaluate("window.returned"), "the page was loaded again; this test needs the back/forward cache"
    bid(house, guid, "bob", "20.00")
    expect_price(page, "20.00")
    assert streams(house) == 1


def test_a_frozen_page_holds_no_stream_and_returns_live(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    page = open_page(lot_url(house, guid))
    expect_connection(page)
    page.evaluate("document.dispatchEvent(new Event('freeze'))")  # a browser without windows never freezes by itself
    until(lambda: streams(house) == 0, "the end of the stream")
    bid(house, guid, "ann", "10.00")
    page.evaluate("document.dispatchEvent(new Event('resume'))")
    expect_price(page, "10.00")
    expect_connection(page)
    until(lambda: streams(house) == 1, "the stream")


def test_a_page_hidden_for_a_while_holds_no_stream_and_returns_live(
    house: Server, open_page: OpenPage, guid: str
) -> None:
    create(house, guid)
    page = open_page("about:blank", script=HIDEABLE)
    page.clock.install()
    page.goto(lot_url(house, guid))
    expect_connection(page)
    page.evaluate("hide(true)")
    page.clock.fast_forward(10_000)
    bid(house, guid, "ann", "10.00")
    expect_price(page, "10.00")
    assert streams(house) == 1, "a page that is hidden for a moment keeps the stream"
    page.clock.fast_forward(20_000)
    until(lambda: streams(house) == 0, "the end of the stream")
    bid(house, guid, "bob", "20.00")
    page.evaluate("hide(false)")
    expect_price(page, "20.00")
    expect_connection(page)


def test_a_closed_page_holds_no_stream(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    page = open_page(lot_url(house, guid))
    expect_connection(page)
    until(lambda: streams(house) == 1, "the stream")
    page.close()
    until(lambda: streams(house) == 0, "the end of the stream")


def test_a_lost_network_is_shown_and_its_return_is_noticed(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    page = open_page(lot_url(house, guid), troubles=[LOST_CONNECTION])
    expect_connection(page)
    page.context.set_offline(True)
    not_live(page)
    bid(house, guid, "ann", "10.00")
    page.context.set_offline(False)
    expect_price(page, "10.00")
    expect_connection(page)


def test_a_full_service_is_polled(valkey: StoreProcess, directory: Path, open_page: OpenPage, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_MAX_STREAMS="1") as small:
        create(small, guid)
        first, second = (open_page(lot_url(small, guid)) for _ in range(2))
        expect_connection(first, "live")
        expect_connection(second, "polling")
        bid(small, guid, "ann", "10.00")
        for page in (first, second):
            expect_price(page, "10.00")
            page.close()
