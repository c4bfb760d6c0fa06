"""The page of a lot never contradicts the bidder's standing, and no update takes the focus or typed text away."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sse_auction.auction.money import MAX_MINOR_UNITS
from tests.support.auctions import act, done, offer
from tests.support.harness import Server, StoreProcess, bid, create
from tests.support.pages import (
    LOST_CONNECTION,
    REFUSED_BID,
    OpenPage,
    expect_connection,
    expect_price,
    expect_standing,
    lot_url,
    place_bid,
)

pytest_plugins = ["tests.support.browser"]


def open_for(open_page: OpenPage, house: Server, guid: str, name: str, *troubles: str) -> Page:
    page = open_page(lot_url(house, guid, name), troubles=[REFUSED_BID, *troubles])
    expect_connection(page)
    expect(page.locator("#bid-form")).to_be_visible()
    return page


def focused(page: Page) -> str:
    name: str = page.evaluate("document.activeElement.id || document.activeElement.textContent")
    return name


def expect_words(page: Page, words: str) -> None:
    expect(page.locator("#message .words")).to_have_text(words)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["10.50", "10", "50000"])
def test_a_leader_does_not_read_that_the_bid_is_too_low_or_too_high(
    open_page: OpenPage, house: Server, guid: str, amount: str
) -> None:
    create(house, guid, increments="flat:5.00")
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "10")
    expect_standing(ann, "leading", "You hold the highest bid")
    place_bid(ann, amount)
    expect_words(ann, "You hold the highest bid already.")
    expect(ann.locator("#message button:visible")).to_have_count(0)


def test_a_message_about_a_price_goes_with_the_price(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, increments="flat:5.00")
    bid(house, guid, "bob", "10.00")
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "12")
    expect_words(ann, "Too low: the next bid is CN¥15.00.")
    expect(ann.get_by_role("button", name="Bid CN¥15.00 instead")).to_be_visible()
    bid(house, guid, "bob-too", "20.00")
    expect_words(ann, "Your bid of CN¥12.00 was too low.")
    expect(ann.locator("#message button:visible")).to_have_count(0)
    bid(house, guid, "ann", "25.00")  # on another device
    expect_price(ann, "25.00")
    bid(house, guid, "bob", "30.00")
    expect_price(ann, "30.00")
    place_bid(ann, "31")
    expect_words(ann, "Too low: the next bid is CN¥35.00.")
    ann.get_by_role("button", name="Bid CN¥35.00 instead").click()
    expect_standing(ann, "leading", "You hold the highest bid")
    place_bid(ann, "36")
    expect_words(ann, "You hold the highest bid already.")
    bid(house, guid, "bob", "40.00")
    expect_standing(ann, "outbid", "You have been outbid")
    expect(ann.locator("#message .words")).to_be_hidden()


def test_an_error_is_over_when_the_bidder_leads_by_another_way(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, increments="flat:5.00")
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "10")
    expect_standing(ann, "leading", "You hold the highest bid")
    bid(house, guid, "bob", "20.00")
    expect_standing(ann, "outbid", "You have been outbid")
    for amount, words in (("21", "Too low: the next bid is CN¥25.00."), ("90000", "far above the next bid")):
        place_bid(ann, amount)
        expect(ann.locator("#message .words")).to_contain_text(words)
    done(act(house, guid, "void", bidder="bob"))
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(ann.locator("#message .words")).to_be_hidden()
    expect(ann.locator("#message button:visible")).to_have_count(0)


def test_a_leader_may_type_any_higher_maximum(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, bidding="proxy", increments="flat:5.00")
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "12")
    expect_standing(ann, "leading", "You hold the highest bid")
    ann.locator("#amount").fill("13")
    expect(ann.locator("#amount")).to_have_attribute("aria-invalid", "false")
    expect(ann.locator("#bid-submit")).to_have_text("Bid CN¥13.00")
    ann.keyboard.press("Enter")
    expect(ann.locator("#message .words")).to_contain_text("Your bid of CN¥13.00 stands")
    place_bid(ann, "11")
    expect_words(ann, "You lead already; this does not raise your maximum.")


# --- focus -----------------------------------------------------------------------------------------------------------


def test_states_that_arrive_during_typing_move_nothing_away(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    ann = open_for(open_page, house, guid, "ann")
    ann.locator("#amount").focus()
    ann.keyboard.type("12")
    ann.keyboard.press("ArrowLeft")
    ann.evaluate("window.mine = document.activeElement")
    for number, price in enumerate(("10.00", "11.00", "12.00", "13.00")):
        bid(house, guid, f"bob-{number % 2}", price)
        expect_price(ann, price)
    ann.keyboard.type("3")
    assert ann.evaluate("document.activeElement === mine && mine.isConnected")
    expect(ann.locator("#amount")).to_have_value("132")


def test_the_focus_stays_where_a_bid_was_sent_from(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, increments="flat:5.00")
    ann = open_for(open_page, house, guid, "ann")
    place_bid(ann, "10")
    expect_standing(ann, "leading", "You hold the highest bid")
    assert focused(ann) == "bid-submit"
    bid(house, guid, "bob", "20.00")
    expect_standing(ann, "outbid", "You have been outbid")
    assert focused(ann) == "bid-submit"
    place_bid(ann, "21")
    expect_words(ann, "Too low: the next bid is CN¥25.00.")
    assert focused(ann) == "bid-submit"
    ann.get_by_role("button", name="Bid CN¥25.00 instead").focus()
    ann.keyboard.press("Enter")
    expect_standing(ann, "leading", "You hold the highest bid")
    assert focused(ann) == "bid-submit"


def test_while_a_bid_is_on_its_way_the_button_keeps_the_focus_and_sends_no_other(
    open_page: OpenPage, house: Server, guid: str
) -> None:
    create(house, guid)
    ann = open_for(open_page, house, guid, "ann")
    held: list[Callable[[], Any]] = []
    ann.route(
        "**/bids", lambda route: held.append(route.continue_) if route.request.method == "POST" else route.continue_()
    )
    place_bid(ann, "10")
    expect(ann.locator("#bid-submit")).to_have_attribute("aria-disabled", "true")
    assert focused(ann) == "bid-submit"
    ann.keyboard.press("Enter")
    ann.keyboard.press("Enter")
    expect_words(ann, "Sending your bid…")
    assert len(held) == 1
    held[0]()
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(ann.locator("#bid-submit")).to_have_attribute("aria-disabled", "false")
    assert (focused(ann), len(held)) == ("bid-submit", 1)


def test_a_bid_is_too_low_also_where_no_higher_one_is_left(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, currency="JPY", start_price=str(MAX_MINOR_UNITS - 1), increments="flat:1")
    ann = open_for(open_page, house, guid, "ann")
    held: list[Callable[[], Any]] = []
    ann.route(
        "**/bids", lambda route: held.append(route.continue_) if route.request.method == "POST" else route.continue_()
    )
    place_bid(ann, str(MAX_MINOR_UNITS - 1))
    expect_words(ann, "Sending your bid…")
    assert bid(house, guid, "bob", str(MAX_MINOR_UNITS)).status_code == 201
    expect_price(ann, str(MAX_MINOR_UNITS))
    held[0]()
    expect_words(ann, "Your bid of ¥9,007,199,254,740,990 was too low.")


def test_a_pause_gives_the_focus_back_and_an_end_keeps_the_place(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    ann = open_for(open_page, house, guid, "ann")
    ann.locator("#amount").focus()
    ann.keyboard.type("77")
    done(act(house, guid, "pause"))
    expect(ann.locator("#note")).to_contain_text("Bidding is paused")
    expect(ann.locator("#note")).to_be_focused()
    done(act(house, guid, "resume"))
    expect(ann.locator("#amount")).to_be_focused()
    expect(ann.locator("#amount")).to_have_value("77")
    done(act(house, guid, "close"))
    expect(ann.locator("#note")).to_have_text("Not sold: there was no bid.")
    expect(ann.locator("#note")).to_be_focused()


def test_a_button_that_goes_leaves_the_focus_to_one_that_stays(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, increments="flat:5.00", buy_now={"price": "24.00", "mode": "ceiling"})
    ann = open_for(open_page, house, guid, "ann")
    ann.locator(".quick button").nth(2).focus()
    bid(house, guid, "bob", "15.00")
    expect(ann.locator(".quick button:visible")).to_have_text(["CN¥20.00"])
    expect(ann.locator("#bid-submit")).to_be_focused()
    place_bid(ann, "16")
    ann.get_by_role("button", name="Bid CN¥20.00 instead").focus()
    bid(house, guid, "cat", "20.00")
    expect(ann.locator("#amount")).to_be_hidden()
    expect(ann.locator("#buy-now")).to_be_focused()


def test_earlier_bids_by_keyboard_end_at_the_list(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    for number in range(45):
        bid(house, guid, f"bob-{number % 2}", f"{10 + number}.00")
    ann = open_for(open_page, house, guid, "ann")
    expect(ann.locator("#history li")).to_have_count(20)
    for shown in (40, 45):
        ann.locator("#bids .earlier").focus()
        ann.keyboard.press("Enter")
        expect(ann.locator("#history li")).to_have_count(shown)
    expect(ann.locator("#bids .earlier")).to_be_hidden()
    expect(ann.locator("#bids h2")).to_be_focused()


def test_a_recreated_auction_has_its_own_terms_on_the_page(
    open_page: OpenPage, house: Server, valkey: StoreProcess, guid: str
) -> None:
    create(house, guid, currency="EUR")
    ann = open_for(open_page, house, guid, "ann")
    ann.locator("#amount").fill("500")
    expect(ann.locator("#bid-submit")).to_have_text("Bid €500.00")
    with valkey.client() as site:
        site.delete(*site.keys(f"*AuctionMaxPrice-{guid}*"))
    expect(ann.locator("main")).to_have_attribute("data-status", "unknown")
    create(house, guid, currency="EUR", buy_now={"price": "300.00", "mode": "ceiling"}, bidding="proxy")
    expect(ann.locator("#bid-submit")).to_have_text("Buy now for €300.00")
    expect(ann.locator("#amount-label")).to_have_text("Your maximum")
    expect(ann.locator("#amount")).to_be_focused()


# --- void, and other devices -----------------------------------------------------------------------------------------

REASON = "the cheque for lot 7 was not honoured"
VOID = f"Your bids on this lot were declared void: {REASON}"


def test_a_voided_bidder_alone_sees_it_with_the_reason(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    ann, bob = (open_for(open_page, house, guid, name) for name in ("ann", "bob"))
    place_bid(ann, "10")
    expect_price(bob, "10.00")
    place_bid(bob, "20")
    expect_standing(bob, "leading", "You hold the highest bid")
    done(act(house, guid, "void", bidder="bob", reason=REASON))
    expect_standing(bob, "voided", VOID)
    expect(bob.locator("#note")).to_contain_text("You can bid on this lot no more.")
    expect(bob.locator("#bid-form")).to_be_hidden()
    expect(bob.locator("#message .words")).to_be_hidden()
    expect_standing(ann, "leading", "You hold the highest bid")
    assert REASON not in ann.content()
    bob.reload()
    expect_standing(bob, "voided", VOID)
    done(act(house, guid, "close"))
    expect(bob.locator("#note")).to_have_text("Sold.")
    expect_standing(bob, "voided", VOID)
    expect_standing(ann, "winning", "You won this lot")


def test_a_voided_bidder_with_an_old_page_learns_it_from_the_refusal(
    open_page: OpenPage, house: Server, guid: str
) -> None:
    create(house, guid)
    bid(house, guid, "bob", "10.00")
    bob = open_for(open_page, house, guid, "bob", "status of 403", LOST_CONNECTION)
    bob.route("**/me/standings*", lambda route: route.abort())
    done(act(house, guid, "void", bidder="bob", reason=REASON))
    expect_price(bob, "")
    place_bid(bob, "11")
    expect_standing(bob, "voided", VOID)
    expect(bob.locator("#bid-form")).to_be_hidden()


def test_a_bidder_sees_the_standing_on_a_second_device(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, bidding="proxy")
    offer(house, guid, "ann", max="50.00")
    ann = open_for(open_page, house, guid, "ann")
    expect_standing(ann, "leading", "You hold the highest bid")
    expect(ann.locator("#history li.own")).to_contain_text("Paddle 1 · you")


def test_a_paddle_of_an_auction_that_is_no_more_is_forgotten(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid)
    bid(house, guid, "bob", "10.00")
    ann = open_for(open_page, house, guid, "ann")
    ann.evaluate(
        """async (guid) => {
          const { keepPaddle } = await import('/static/transport/session.js');
          keepPaddle(guid, 1);
        }""",
        guid,
    )
    ann.reload()
    expect(ann.locator("#facts")).to_contain_text(re.compile("Paddle 1 leads"))
    expect(ann.locator("#standing")).to_be_hidden()
