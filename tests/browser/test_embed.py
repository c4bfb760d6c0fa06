"""`<auction-price>` on pages of other sites, by one script tag."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from playwright.sync_api import Page, expect

from tests.support.harness import Server, StoreProcess, bid, create, until
from tests.support.pages import LOST_CONNECTION, ForeignSite, OpenPage, running_site

pytest_plugins = ["tests.support.browser"]

SetPrice: TypeAlias = Callable[[str], object]


def page_with(server: Server, *elements: str) -> str:
    """A shop's own page: its own style, its own script, and the embed."""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title>
<link rel="icon" href="data:,">
<style>auction-price {{ color: rgb(1, 2, 3); font-weight: 700; }}</style>
<script>
  window.states = []; window.connections = [];
  addEventListener('auction-state', (e) => states.push(`${{e.target.id}} ${{e.detail.price}}`));
  addEventListener('auction-connection', (e) => connections.push(e.detail));
</script>
<script type="module" src="{server.url}/static/auction-price.js"></script>
<h1>A shop</h1>{"".join(elements)}"""


def element(guid: str, identity: str = "one") -> str:
    return f'<p>Now at <auction-price id="{identity}" guid="{guid}"></auction-price></p>'


def expect_shown(page: Page, identity: str, price: str) -> None:
    expect(page.locator(f"#{identity}")).to_have_text(price)


@pytest.fixture
def set_price(valkey: StoreProcess, guid: str) -> Iterator[SetPrice]:
    """An existing site: it writes its price to the store itself."""
    with valkey.client() as site:
        yield lambda price: site.set(f"AuctionMaxPrice-{guid}", price)


def test_a_plain_set_appears_on_another_site(
    house: Server, foreign_site: ForeignSite, open_page: OpenPage, guid: str, set_price: SetPrice
) -> None:
    foreign_site.html = page_with(house, element(guid))
    page = open_page(foreign_site.origin)
    expect_shown(page, "one", "—")
    set_price("99.50")
    expect_shown(page, "one", "CN¥99.50")
    expect(page.locator("#one")).to_have_attribute("data-price", "99.50")
    expect(page.locator("#one")).to_have_attribute("data-connection", "live")
    expect(page.locator("#one")).to_have_css("color", "rgb(1, 2, 3)")
    expect(page.locator("#one")).to_have_css("font-weight", "700")
    set_price("101")
    expect_shown(page, "one", "CN¥101.00")
    assert page.evaluate("states") == ["one null", "one 99.50", "one 101.00"]
    assert page.evaluate("connections") == ["live"]


def test_elements_share_one_connection_and_the_last_one_closes_it(
    house: Server, foreign_site: ForeignSite, open_page: OpenPage, guid: str, set_price: SetPrice
) -> None:
    create(house, f"{guid}-b")
    set_price("5.00")
    foreign_site.html = page_with(house, element(guid), element(f"{guid}-b", "two"), element(guid, "three"))
    page = open_page(foreign_site.origin)
    for identity, price in (("one", "CN¥5.00"), ("two", "—"), ("three", "CN¥5.00")):
        expect_shown(page, identity, price)
    until(lambda: streams(house) == 1, "one stream")
    set_price("6.00")
    bid(house, f"{guid}-b", "ann", "10.00")
    for identity, price in (("one", "CN¥6.00"), ("two", "CN¥10.00"), ("three", "CN¥6.00")):
        expect_shown(page, identity, price)
    assert streams(house) == 1
    page.evaluate("for (const each of document.querySelectorAll('#one, #two')) each.remove()")
    set_price("7.00")
    expect_shown(page, "three", "CN¥7.00")
    page.evaluate("document.getElementById('three').remove()")
    until(lambda: streams(house) == 0, "the end of the stream")


def test_an_element_added_later_and_one_that_changes_its_auction_are_live(
    house: Server, foreign_site: ForeignSite, open_page: OpenPage, guid: str, set_price: SetPrice
) -> None:
    create(house, f"{guid}-b", currency="JPY", start_price="100")
    bid(house, f"{guid}-b", "ann", "3000")
    set_price("5.00")
    foreign_site.html = page_with(house)
    page = open_page(foreign_site.origin)
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", element(guid))
    expect_shown(page, "one", "CN¥5.00")
    page.evaluate("guid => document.getElementById('one').setAttribute('guid', guid)", f"{guid}-b")
    expect_shown(page, "one", "¥3,000")
    page.evaluate("document.getElementById('one').setAttribute('locale', 'de-DE')")
    expect_shown(page, "one", "3.000\u00a0¥")
    until(lambda: streams(house) == 1, "one stream")


def test_an_origin_that_is_not_allowed_shows_nothing_and_is_not_broken(
    house: Server, open_page: OpenPage, guid: str, set_price: SetPrice
) -> None:
    set_price("5.00")
    with running_site() as stranger:
        stranger.html = page_with(house, element(guid)) + "<script>window.ownScriptRan = true</script>"
        page = open_page(stranger.origin, troubles=["blocked by CORS policy", LOST_CONNECTION])
        expect(page.get_by_role("heading")).to_have_text("A shop")
        expect_shown(page, "one", "")
        assert page.evaluate("ownScriptRan && !customElements.get('auction-price')")
        assert streams(house) == 0


def streams(server: Server) -> float:
    return server.metric("sse_auction_streams")
