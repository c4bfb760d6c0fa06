"""The page of the open lots: all of them live over one connection."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.harness import Server, bid, create, now_ms, running_server, until
from tests.pages import WITHOUT_EVENT_SOURCE, OpenPage, expect_connection

pytest_plugins = ["tests.browser"]


@pytest.fixture
def empty_house(directory: Path) -> Iterator[Server]:
    """A service without any lots: those of other tests would be listed."""
    with running_server(directory) as running:
        yield running


def card(page: Page, guid: str) -> Locator:
    return page.locator(f'[data-guid="{guid}"]')


def test_lots_come_move_and_close_over_one_connection(empty_house: Server, open_page: OpenPage) -> None:
    for guid in ("a", "b"):
        create(empty_house, guid)
    page = open_page("about:blank")
    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url) if "/auctions/stream" in request.url else None)
    page.goto(empty_house.url)
    expect(page.locator("#lots > [data-guid]")).to_have_count(2)
    expect_connection(page)
    assert [url.partition("?")[2] for url in opened] == ["guid=a&guid=b"]

    expect(card(page, "b").locator(".label")).to_have_text("Bidding starts at")
    bid(empty_house, "b", "ann", "12.50")
    expect(card(page, "b").locator(".price")).to_have_attribute("data-price", "12.50")
    expect(card(page, "b").locator(".price")).to_have_text("CN¥12.50")
    expect(card(page, "b").locator(".bids")).to_have_text("1 bid")
    expect(card(page, "a").locator(".price")).to_have_attribute("data-price", "")

    create(empty_house, "short", title="A short lot", closes_at=now_ms() + 8000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # whoever looks again sees the newest list
    expect(card(page, "short").get_by_role("link", name="A short lot")).to_be_visible()
    bid(empty_house, "short", "ann", "10.00")
    expect(card(page, "short").locator(".price")).to_have_attribute("data-price", "10.00")
    until(lambda: empty_house.metric("sse_auction_streams") == 1, "the end of the stream of the old list")
    assert len(opened) == 2, "another list of lots is another stream, instead of the first"

    create(empty_house, "next")
    expect(card(page, "short")).to_have_attribute("data-status", "closed")
    expect(card(page, "short").locator(".countdown")).to_have_text("Closed")
    expect(card(page, "next")).to_be_visible()  # after a closing the page looks for what comes next
    bid(empty_house, "next", "ann", "10.00")
    expect(card(page, "next").locator(".price")).to_have_attribute("data-price", "10.00")
    assert len(opened) == 3, "one lot's end must not end the others"
    card(page, "next").get_by_role("link").click()
    expect(page).to_have_url(f"{empty_house.url}/lots/next")
    expect_connection(page)
    until(lambda: empty_house.metric("sse_auction_streams") == 1, "the end of the stream of the list")


def test_without_lots_the_page_says_so_and_the_first_appears(empty_house: Server, open_page: OpenPage) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.goto(empty_house.url)
    expect(page.get_by_role("heading", name="No lot is open just now")).to_be_visible()
    create(empty_house, "first")
    page.clock.fast_forward(10_000)
    expect(card(page, "first")).to_be_visible()
    expect(page.locator(".empty")).to_be_hidden()


def test_without_streams_the_lots_move_by_polling(empty_house: Server, open_page: OpenPage) -> None:
    for guid in ("a", "b"):
        create(empty_house, guid)
    page = open_page(empty_house.url, script=WITHOUT_EVENT_SOURCE)
    expect_connection(page, "polling")
    bid(empty_house, "b", "ann", "12.50")
    expect(card(page, "b").locator(".price")).to_have_attribute("data-price", "12.50")
    assert empty_house.metric("sse_auction_streams") == 0
