"""What the bidding rules look like on the page of a lot, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.auctions import act, done, offer
from tests.support.harness import Server, bid, create, now_ms
from tests.support.pages import (
    REFUSED_BID,
    OpenPage,
    expect_connection,
    expect_price,
    expect_standing,
    lot_url,
    place_bid,
)

pytest_plugins = ["tests.support.browser"]


def open_for(open_page: OpenPage, house: Server, guid: str, name: str | None = None) -> Page:
    page = open_page(lot_url(house, guid, name), troubles=[REFUSED_BID])
    expect_connection(page)
    return page


def test_a_proxy_auction_asks_for_a_maximum_and_keeps_it(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, bidding="proxy", increments="flat:1.00")
    ann, bob = open_for(open_page, house, guid, "ann"), open_for(open_page, house, guid, "bob")
    expect(ann.locator("#amount-label")).to_have_text("Your maximum")
    expect(ann.locator("#proxy-hint")).to_be_visible()
    place_bid(ann, "50.00")
    expect_price(bob, "10.00")
    expect_standing(ann, "leading", "You hold the highest bid")
    place_bid(bob, "20.00")
    expect(bob.locator("#message")).to_contain_text("has been outbid since")
    expect_standing(bob, "outbid", "You have been outbid")
    for page in (ann, bob):
        expect_price(page, "21.00")
    assert "50.00" not in bob.content()
    expect(bob.locator("#history .paddle")).to_have_text(
        ["Paddle 1 · automatic bid", "Paddle 2 · you", "Paddle 1"], use_inner_text=True
    )
    expect(bob.locator("#history .amount")).to_have_text(["CN¥21.00", "CN¥20.00", "CN¥10.00"])
    place_bid(ann, "40.00")
    expect(ann.locator("#message")).to_contain_text("does not raise your maximum")
    place_bid(ann, "60.00")
    expect(ann.locator("#message")).to_contain_text("You lead")
    expect_price(bob, "21.00")


def test_a_reserve_is_met_or_not(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, bidding="proxy", reserve="80.00")
    page = open_for(open_page, house, guid)
    expect(page.locator("#facts")).to_contain_text("Reserve not met")
    offer(house, guid, "ann", max="90.00")
    expect_price(page, "80.00")
    expect(page.locator("#facts")).to_contain_text("Reserve met")


def test_buying_now_is_asked_twice_and_ends_the_auction(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, buy_now={"price": "300.00", "mode": "until_first_bid"})
    ann, bob = open_for(open_page, house, guid, "ann"), open_for(open_page, house, guid, "bob")
    expect(bob.locator("#buy-now")).to_have_text("Buy now for CN¥300.00")
    ann.locator("#buy-now").click()
    expect(ann.locator("#message")).to_contain_text("Buy this lot for CN¥300.00?")
    ann.get_by_role("button", name="Yes, buy for CN¥300.00").click()
    expect_price(bob, "300.00")
    expect(bob.locator("#note")).to_have_text("Bought at the buy-now price.")
    expect(bob.locator("#bid-form")).to_be_hidden()
    expect_standing(ann, "winning", "You won this lot")


def test_a_first_bid_takes_the_buy_now_button_away(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, buy_now={"price": "300.00", "mode": "until_first_bid"})
    page = open_for(open_page, house, guid, "ann")
    expect(page.locator("#buy-now")).to_be_visible()
    bid(house, guid, "bob", "10.00")
    expect(page.locator("#buy-now")).to_be_hidden()


def test_a_pause_stops_the_clock_and_the_form(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    page = open_for(open_page, house, guid, "ann")
    expect(page.locator("#bid-form")).to_be_visible()
    done(act(house, guid, "pause"))
    expect(page.locator("#status")).to_have_text("Paused")
    expect(page.locator("#note")).to_contain_text("Bidding is paused")
    expect(page.locator("#bid-form")).to_be_hidden()
    expect(page.locator("#clock")).to_be_hidden()
    done(act(house, guid, "resume"))
    expect(page.locator("#bid-form")).to_be_visible()
    expect(page.locator("#clock")).to_be_visible()


def test_an_extension_moves_the_countdown(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, closes_at=now_ms() + 60_000, soft_close={"window_s": 120, "extend_s": 600})
    page = open_for(open_page, house, guid)
    expect(page.locator("#countdown")).to_have_text(re.compile(r"^(1:00|0:\d\d)$"))
    bid(house, guid, "ann", "10.00")
    expect(page.locator("#facts")).to_contain_text("extended once")
    expect(page.locator("#countdown")).to_have_text(re.compile(r"^(10:00|9:\d\d)$"))


def test_a_void_lowers_the_price_and_strikes_out_the_bids(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    for who, price in (("ann", "10.00"), ("bob", "20.00")):
        bid(house, guid, who, price)
    page = open_for(open_page, house, guid)
    expect(page.locator("#history li")).to_have_count(2)
    done(act(house, guid, "void", bidder="bob"))
    expect_price(page, "10.00")
    expect(page.locator("#history li.voided")).to_have_count(1)
    expect(page.locator("#history li.voided")).to_contain_text("void")
    bid(house, guid, "cat", "11.00")
    expect_price(page, "11.00")
    expect(page.locator("#history li")).to_have_count(3)
    expect(page.locator("#history li").first).to_contain_text("CN¥11.00")
    for who in ("ann", "cat"):
        done(act(house, guid, "void", bidder=who))
    expect(page.locator("#history li.voided")).to_have_count(3)
    expect(page.locator("#price-label")).to_have_text("Bidding starts at")


@pytest.mark.parametrize(
    ("terms", "price", "kind", "said"),
    [
        ({}, "10.00", "close", "Sold."),
        ({}, None, "close", "Not sold: there was no bid."),
        ({"reserve": "50.00"}, "10.00", "close", "Not sold: the reserve was not met."),
        ({}, "10.00", "cancel", "This lot was withdrawn. No bid stands."),
    ],
)
def test_every_outcome_is_shown(
    open_page: OpenPage, house: Server, guid: str, terms: dict[str, str], price: str | None, kind: str, said: str
) -> None:
    create(house, guid, **terms)
    if price is not None:
        bid(house, guid, "ann", price)
    page = open_for(open_page, house, guid)
    done(act(house, guid, kind))
    expect(page.locator("#note")).to_have_text(said)
    expect(page.locator("#bid-form")).to_be_hidden()
