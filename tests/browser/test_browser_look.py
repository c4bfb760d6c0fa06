"""The look of the pages: languages, currencies, dark mode, a phone."""

import re
import time
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.harness import Server, bid, create
from tests.support.pages import OpenPage, expect_connection, expect_price, lot_url

pytest_plugins = ["tests.support.browser"]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 700}, "has_touch": True, "is_mobile": True}
PHONE_WIDTHS = (320, 390)


def soon() -> int:
    """A closing before most others: the page of the open lots shows the next to close first."""
    return int(time.time() * 1000) + 300_000


def text_of(page: Page, selector: str) -> str:
    """The text that is shown, with ordinary spaces."""
    return (page.locator(selector).text_content() or "").replace("\u00a0", " ")


def test_the_words_follow_the_viewers_language(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    bid(house, guid, "ann", "10.00")
    for locale, lang, label, connection in (
        ("en-US", "en", "Current bid", "Live"),
        ("zh-CN", "zh-Hans", "当前价", "实时"),
    ):
        page = open_page(lot_url(house, guid), locale=locale)
        expect(page.locator("html")).to_have_attribute("lang", lang)
        expect(page.locator("#price-label")).to_have_text(label)
        expect(page.locator("#connection")).to_have_text(connection)
        leftovers = re.findall(r"[A-Za-z]{3,}", page.locator("main").inner_text()) if lang == "zh-Hans" else []
        assert set(leftovers) <= {"Lot", "CNY", *re.findall("[A-Za-z]{3,}", guid)}, "English on the Chinese page"


def test_every_currency_is_written_the_viewers_way_with_all_its_digits(
    house: Server, open_page: OpenPage, guid: str
) -> None:
    prices = {"JPY": ("30000", "30500"), "CNY": ("1200.00", "1234.50"), "KWD": ("140.000", "145.005")}
    for currency, (start, price) in prices.items():
        create(house, f"{guid[:8]}-{currency}", currency=currency, start_price=start, closes_at=soon())
        assert bid(house, f"{guid[:8]}-{currency}", "ann", price).status_code == 201
    shown = {
        "en-US": {"JPY": "¥30,500", "CNY": "CN¥1,234.50", "KWD": "KWD 145.005"},
        "zh-CN": {"JPY": "JP¥30,500", "CNY": "¥1,234.50", "KWD": "KWD 145.005"},
        "de-DE": {"JPY": "30.500 ¥", "CNY": "1.234,50 CN¥", "KWD": "145,005 KWD"},
    }
    for locale, expected in shown.items():
        page = open_page(house.url, locale=locale)
        for currency, text in expected.items():
            card = page.locator(f'[data-guid="{guid[:8]}-{currency}"]')
            expect(card.locator(".price")).to_have_attribute("data-price", prices[currency][1])
            assert text_of(page, f'[data-guid="{guid[:8]}-{currency}"] .price') == text


def test_an_amount_may_be_typed_the_viewers_way(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid, start_price="1000.00")
    page = open_page(lot_url(house, guid, "ann"), locale="de-DE")
    page.locator("#amount").fill("1.000,50")
    expect(page.locator("#bid-submit")).to_have_text(re.compile(r"1\.000,50"))
    page.locator("#amount").press("Enter")
    expect_price(page, "1000.50")


def test_a_dark_room_gets_dark_pages(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    for url in (lot_url(house, guid), house.url):
        page = open_page(url)
        ground, ink = ground_and_ink(page)
        assert ground > 0.85 > 0.3 > ink
        page.emulate_media(color_scheme="dark")
        ground, ink = ground_and_ink(page)
        assert ink > 0.7 > 0.15 > ground


def ground_and_ink(page: Page) -> tuple[float, float]:
    """The lightness of the page's background and text, 0 to 1."""
    style = page.evaluate("(({ backgroundColor, color }) => [backgroundColor, color])(getComputedStyle(document.body))")
    ground, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in style)
    return ground, ink


def test_a_phone_shows_everything_in_its_width(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid, title="Donaudampfschifffahrtsgesellschaftskapitänsmütze, silver braid", currency="KWD",
           start_price="9000000000.000", closes_at=soon())  # fmt: skip
    page = open_page(lot_url(house, guid, "ann"), **PHONE)
    expect(page.locator("#bid-form")).to_be_visible()
    expect_connection(page)
    page.locator(".quick button").first.tap()
    assert overflow(page) == 0
    page.locator("#bid-submit").tap()
    expect(page.locator("#history li")).to_have_count(1)
    expect_price(page, "9000000000.000")
    assert overflow(page) == 0
    page.goto(house.url)
    expect(page.locator(f'[data-guid="{guid}"]')).to_be_visible()
    assert overflow(page) == 0


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than a usual phone or the smallest one, whichever is worse."""
    return max(overflow_at(page, width) for width in PHONE_WIDTHS)


def overflow_at(page: Page, width: int) -> int:
    page.set_viewport_size({"width": width, "height": 700})
    pixels: int = page.evaluate(f"Math.max(0, document.documentElement.scrollWidth - {width})")
    return pixels


def test_without_scripts_the_page_says_what_it_needs(house: Server, open_page: OpenPage, guid: str) -> None:
    create(house, guid)
    for url in (lot_url(house, guid), house.url):
        page = open_page(url, java_script_enabled=False)
        expect(page.locator("noscript .notice")).to_contain_text("This page needs JavaScript to follow the price.")
