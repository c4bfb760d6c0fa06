"""The page of one lot, in two real browsers at once."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.harness import Server, bid, create, now_ms, running_server, until
from tests.support.pages import (
    AWAITED_LOT,
    REFUSED_BID,
    WITHOUT_EVENT_SOURCE,
    OpenPage,
    expect_connection,
    expect_price,
    expect_standing,
    lot_url,
    place_bid,
)

pytest_plugins = ["tests.support.browser"]


@pytest.fixture(params=["live", "polling"])
def transport(request: pytest.FixtureRequest) -> str:
    """With an EventSource, and in a browser that has none."""
    name: str = request.param
    return name


def script_of(transport: str) -> str:
    return WITHOUT_EVENT_SOURCE if transport == "polling" else ""


def open_for(open_page: OpenPage, house: Server, guid: str, name: str | None, transport: str = "live") -> Page:
    page = open_page(lot_url(house, guid, name), script=script_of(transport), troubles=[REFUSED_BID, AWAITED_LOT])
    expect_connection(page, transport)
    page.evaluate("window.notReloaded = true")
    return page


def seqs(page: Page) -> list[str | None]:
    return [item.get_attribute("data-seq") for item in page.locator("#history li").all()]


def test_a_bid_in_one_browser_updates_the_other_without_a_reload(
    open_page: OpenPage, house: Server, guid: str, transport: str
) -> None:
    create(house, guid, increments="flat:5.00")
    ann = open_for(open_page, house, guid, "ann", transport)
    bob = open_for(open_page, house, guid, "bob", transport)
    expect_price(bob, "")
    expect(bob.locator("#price")).to_have_text("CN¥10.00")
    expect(bob.locator("#price-label")).to_have_text("Bidding starts at")

    place_bid(ann, "10")
    for page in (ann, bob):
        expect_price(page, "10.00")
        expect(page.locator("#history li")).to_have_count(1)
        expect(page.locator("#history li")).to_contain_text("CN¥10.00")
        expect(page.locator("#amount-hint")).to_have_text("Next bid CN¥15.00")
        expect(page.locator("#facts")).to_contain_text("1 bid · Paddle 1 leads")
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(bob.locator("#standing")).to_be_hidden()

    ann.locator("#amount").fill("77")
    place_bid(bob, "15.00")
    expect_price(ann, "15.00")
    expect_standing(ann, "outbid", "You have been outbid")
    expect_standing(bob, "leading", "You hold the highest bid")
    expect(ann.locator("#amount")).to_have_value("77")
    expect(ann.locator("#bid-submit")).to_have_text("Bid CN¥77.00")
    expect(ann.locator("#history li")).to_have_count(2)
    assert seqs(ann) == ["2", "1"], "the newest bid stands first"
    expect(ann.locator("#history li.own")).to_contain_text("Paddle 1 · you")
    assert [page.evaluate("window.notReloaded") for page in (ann, bob)] == [True, True]


def test_quick_amounts_are_the_next_legal_bids(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, increments=[{"from": "0", "step": "5.00"}, {"from": "20.00", "step": "10.00"}])
    ann = open_for(open_page, house, guid, "ann")
    quick = ann.locator(".quick button")
    expect(quick).to_have_text(["CN¥10.00", "CN¥15.00", "CN¥20.00"])
    bid(house, guid, "bob", "15.00")
    expect(quick).to_have_text(["CN¥20.00", "CN¥30.00", "CN¥40.00"])
    quick.nth(1).click()
    expect(ann.locator("#amount")).to_have_value("30.00")
    expect(ann.locator("#bid-submit")).to_be_focused()
    ann.keyboard.press("Enter")
    expect_price(ann, "30.00")
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(ann.locator("#message")).to_contain_text("Your bid of CN¥30.00 stands. You lead.")
    expect(ann.locator("#amount")).to_have_value("")


def test_a_bid_too_low_is_answered_with_the_next_bid_which_one_click_takes(
    open_page: OpenPage, house: Server, guid: str
) -> None:
    create(house, guid, increments="flat:5.00")
    bid(house, guid, "bob", "10.00")
    ann = open_for(open_page, house, guid, "ann")
    ann.locator("#amount").fill("12")
    expect(ann.locator("#amount")).to_have_attribute("aria-invalid", "true")
    ann.locator("#bid-submit").click()
    expect(ann.locator("#message .words")).to_have_text("Too low: the next bid is CN¥15.00.")
    ann.get_by_role("button", name="Bid CN¥15.00 instead").click()
    expect_price(ann, "15.00")
    expect_standing(ann, "leading", "You hold the highest bid")
    place_bid(ann, "30")
    expect(ann.locator("#message .words")).to_have_text("You hold the highest bid already.")
    expect_price(ann, "15.00")


def test_a_bid_far_too_high_is_asked_about_before_it_counts(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "50,000")
    expect(ann.locator("#message .words")).to_contain_text("CN¥50,000.00 is far above the next bid. Do you mean it?")
    expect_price(ann, "")
    assert httpx.get(f"{house.url}/auctions/{guid}/price").json()["bids"] == 0
    ann.get_by_role("button", name="Yes, bid CN¥50,000.00").click()
    expect_price(ann, "50000.00")


def test_what_is_not_an_amount_is_refused_by_the_page_and_not_sent(
    open_page: OpenPage, house: Server, guid: str
) -> None:
    create(house, guid)
    ann = open_for(open_page, house, guid, "ann")
    sent: list[str] = []
    ann.on("request", lambda request: sent.append(request.method))
    for amount, words in (
        ("", "Type an amount first, or choose one above."),
        ("abc", "That is not an amount we can read. Write it like this: 10.00"),
        ("-3", "That is not an amount we can read. Write it like this: 10.00"),
        ("12,50", "Do you mean CN¥12.50?"),
        ("12.345", "Do you mean CN¥12,345.00?"),
        ("12.3456", "This currency takes at most 2 decimals."),
    ):
        place_bid(ann, amount)
        expect(ann.locator("#message .words")).to_have_text(words)
        expect(ann.locator("#amount")).to_be_focused()
    assert "POST" not in sent


def test_closing_comes_by_time_to_the_winner_and_the_loser(open_page: OpenPage, house: Server, guid: str) -> None:
    ann, bob = (open_for(open_page, house, guid, name) for name in ("ann", "bob"))
    carol = open_for(open_page, house, guid, None, "polling")
    create(house, guid, closes_at=now_ms() + 8000)  # last: to load a page may take long
    place_bid(ann, "10")
    expect_price(bob, "10.00")
    place_bid(bob, "20")
    for page in (ann, bob, carol):
        expect(page.locator("main")).to_have_attribute("data-status", "closed")
        expect(page.locator("#status")).to_have_text("Closed")
        expect(page.locator("#price-label")).to_have_text("Hammer price")
        expect(page.locator("#bid-form")).to_be_hidden()
        expect(page.locator("#note")).to_have_text("Sold.")
        expect_price(page, "20.00")
    expect_standing(bob, "winning", "You won this lot")
    expect_standing(ann, "outbid", "The lot went to another bidder")
    until(lambda: house.metric("sse_auction_streams") == 0, "the end of all streams")
    for page, connection in ((ann, "live"), (bob, "live"), (carol, "polling")):
        expect_connection(page, connection)


def test_opening_comes_by_time(open_page: OpenPage, house: Server, guid: str) -> None:
    page = open_for(open_page, house, guid, "ann")
    create(house, guid, opens_at=now_ms() + 4000)  # last: to load a page may take long
    expect(page.locator("#status")).to_have_text("Upcoming")
    expect(page.locator("#clock-label")).to_have_text("Opens in")
    expect(page.locator("#bid-form")).to_be_hidden()
    expect(page.locator("main")).to_have_attribute("data-status", "open")
    expect(page.locator("#clock-label")).to_have_text("Closes in")
    place_bid(page, "10")
    expect_price(page, "10.00")


def test_a_lot_that_does_not_exist_yet_appears_when_it_does(open_page: OpenPage, house: Server, guid: str) -> None:
    page = open_for(open_page, house, guid, None)
    expect(page.locator("#status")).to_have_text("Awaited")
    create(house, guid, title='Vase "<b>Ming</b>" 東京')
    expect(page.locator("h1")).to_have_text('Vase "<b>Ming</b>" 東京')
    expect(page.locator("#bid-form")).to_be_visible()


def test_the_token_leaves_the_address_and_survives_a_reload(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    page = open_for(open_page, house, guid, "ann")
    assert page.url == lot_url(house, guid)
    place_bid(page, "10")
    expect_standing(page, "leading", "You hold the highest bid")
    page.reload()
    expect_standing(page, "leading", "You hold the highest bid")
    expect(page.locator("#bidder")).to_have_text("Bidding as Ann")


def test_without_a_token_the_page_says_how_to_get_one(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    page = open_page(lot_url(house, guid), troubles=["status of 404"])
    place_bid(page, "10")
    expect(page.locator("#message .words")).to_have_text("To bid you need a personal link from the auction house.")
    expect_price(page, "")


@pytest.fixture
def demo(directory: Path) -> Iterator[Server]:
    with running_server(directory, SSE_AUCTION_DEMO="1") as running:
        yield running


def test_a_visitor_of_the_demo_bids_as_a_guest(demo: Server, open_page: OpenPage, guid: str) -> None:
    create(demo, guid)
    ann, bob = (open_for(open_page, demo, guid, None) for _ in range(2))
    place_bid(ann, "10")
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(ann.locator("#bidder")).to_contain_text("Bidding as Guest")
    expect_price(bob, "10.00")
    place_bid(bob, "20")
    expect_standing(ann, "outbid", "You have been outbid")
    open_lots = f"{demo.url}/auctions?status=open"
    until(lambda: any(each["state"]["price"] for each in httpx.get(open_lots).json()["auctions"]), "a house bid")


def test_the_keyboard_alone_places_a_bid(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    page = open_for(open_page, house, guid, "ann")
    expect(page.locator("#bid-form")).to_be_visible()
    visited = []
    while "amount" not in visited:
        page.keyboard.press("Tab")
        visited.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert visited[-1] != "BODY", f"the amount is not reached: {visited}"
    page.keyboard.type("10")
    page.keyboard.press("Enter")
    expect_standing(page, "leading", "You hold the highest bid")
    expect(page.locator("#amount")).to_be_focused()


def test_a_screen_reader_gets_the_price_politely(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    page = open_for(open_page, house, guid, None)
    spoken = page.locator("#price-spoken")
    expect(spoken).to_have_attribute("aria-live", "polite")
    bid(house, guid, "bob", "10.00")
    expect(spoken).to_have_text("The price is now CN¥10.00.")
    expect(page.locator("#standing")).to_have_attribute("role", "status")
    expect(page.get_by_label("Your bid")).to_have_attribute("id", "amount")
