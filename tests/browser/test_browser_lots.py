"""The page of the open lots: all of them live over one connection."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.harness import OPERATOR, Server, bid, create, now_ms, running_server, until
from tests.support.pages import WITHOUT_EVENT_SOURCE, OpenPage, expect_connection

pytest_plugins = ["tests.support.browser"]

TO = "\N{EN DASH}"
STREAMS = "/auctions/stream"


@pytest.fixture
def empty_house(directory: Path) -> Iterator[Server]:
    """A service without lots: the list would show those of other tests."""
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
    page.evaluate(
        "document.dispatchEvent(new Event('visibilitychange'))"
    )  # a page that is shown again has the newest list
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


@pytest.fixture
def full_house(empty_house: Server) -> Server:
    """A service with 120 lots, which close in the order of their names."""
    start = now_ms() + 3_600_000
    for number in range(120):
        create(empty_house, f"lot-{number:03}", closes_at=start + number * 1000)
    return empty_house


def expect_lots(page: Page, first: int, last: int) -> None:
    """These lots are shown in this order, and the page says how many there are."""
    names = [f"lot-{number:03}" for number in range(first - 1, last)]
    expect(page.locator("#pages .which")).to_have_text(f"Lots {first}{TO}{last} of 120")
    expect(page.locator("#lots > [data-guid]")).to_have_count(len(names))
    shown = page.locator("#lots > [data-guid]").evaluate_all("cards => cards.map((card) => card.dataset.guid)")
    assert shown == names
    expect_connection(page)


def test_many_lots_are_shown_a_page_at_a_time(full_house: Server, open_page: OpenPage) -> None:
    page = open_page("about:blank")
    watched: list[int] = []
    page.on("request", lambda request: watched.append(request.url.count("guid=")) if STREAMS in request.url else None)
    page.goto(full_house.url)
    earlier, more = page.get_by_role("button", name="Earlier lots"), page.get_by_role("button", name="More lots")
    expect_lots(page, 1, 50)
    expect(earlier).to_be_hidden()
    more.click()
    expect_lots(page, 51, 100)
    expect(page.get_by_role("heading", name="Open lots")).to_be_focused()
    bid(full_house, "lot-070", "ann", "12.50")
    expect(card(page, "lot-070").locator(".price")).to_have_attribute("data-price", "12.50")
    more.click()
    expect_lots(page, 101, 120)
    expect(more).to_be_hidden()
    earlier.click()
    expect_lots(page, 51, 100)
    page.go_back()
    expect_lots(page, 101, 120)
    page.go_back()
    page.go_back()
    expect_lots(page, 1, 50)
    page.go_forward()
    expect_lots(page, 51, 100)
    page.reload()
    expect_lots(page, 51, 100)
    earlier.click()
    expect_lots(page, 1, 50)
    assert set(watched) == {50, 20}, "only what is shown is watched"


def test_what_happens_on_one_page_moves_no_other(full_house: Server, open_page: OpenPage) -> None:
    page = open_page(full_house.url)
    page.get_by_role("button", name="More lots").click()
    expect_lots(page, 51, 100)
    act = {"reason": "for the test"}
    for guid in ("lot-003", "lot-060"):
        done = httpx.post(f"{full_house.url}/auctions/{guid}/close", json=act, headers=OPERATOR)
        assert done.status_code == 200
    # After a closing the page asks for the list.
    expect(page.locator("#pages .which")).to_have_text(f"Lots 50{TO}99 of 118")
    expect(card(page, "lot-060")).to_have_attribute("data-status", "closed")
    expect(page.locator("#lots > [data-guid]")).to_have_count(51)
    expect(card(page, "lot-050")).to_be_visible()
    expect(card(page, "lot-100")).to_be_visible()
    expect_connection(page)


def test_an_address_of_another_time_leads_to_the_first_page(full_house: Server, open_page: OpenPage) -> None:
    for after in ("nonsense", "open.009999999999999.zzz"):
        page = open_page(f"{full_house.url}/?after={after}", troubles=["422"])
        expect_lots(page, 1, 50)
        assert page.url.partition("?")[2] == ""


def test_one_page_of_lots_has_no_others(empty_house: Server, open_page: OpenPage) -> None:
    create(empty_house, "a")
    page = open_page(empty_house.url)
    expect(card(page, "a")).to_be_visible()
    expect(page.locator("#pages")).to_be_hidden()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_pages_fit_any_width_and_language(full_house: Server, open_page: OpenPage, width: int) -> None:
    page = open_page(
        f"{full_house.url}", locale="zh-CN", viewport={"width": width, "height": 800}, has_touch=width < 500
    )
    page.get_by_role("button", name="下一页").click()
    expect(page.locator("#pages .which")).to_have_text(f"第 51{TO}100 件\uff0c共 120 件")
    expect(page.locator("#lots > [data-guid]")).to_have_count(50)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
    page.locator("#pages").scroll_into_view_if_needed()
    if folder := os.environ.get("LISTING_PICTURES"):
        page.screenshot(path=f"{folder}/pages-{width}.png")
