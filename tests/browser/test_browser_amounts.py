"""Amounts mean what they show: in the viewer's own format, written and read, in a real browser."""
# ruff: noqa: RUF001  the digits and marks of many scripts are the subject

import json
import random
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from sse_auction.auction.money import EXPONENTS, MAX_MINOR_UNITS, format_amount
from tests.support.harness import Server, bid, create
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

LOCALES = [
    "ar", "ar-AE", "ar-EG", "ar-MA", "bg", "bn", "bn-u-nu-latn", "cs", "da", "de", "de-AT", "de-CH", "de-LI", "el",
    "en", "en-AU", "en-CH", "en-DE", "en-IN", "en-ZA", "es", "es-419", "es-CR", "es-MX", "et", "fa", "fa-u-nu-latn",
    "fi", "fr", "fr-CA", "fr-CH", "ha-NG", "he", "hi", "hi-u-nu-deva", "hr", "hu", "hy", "id", "it", "it-CH", "ja",
    "ka", "kk", "km", "kn", "ko", "lt", "lv", "mk", "ml", "mr", "ms", "my", "ne", "nl", "nb", "pa", "pl", "ps",
    "pt-BR", "pt-CV", "pt-PT", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "th-u-nu-thai", "tr",
    "uk", "ur", "uz", "vi", "zh", "zh-TW", "zu",
]  # fmt: skip
CURRENCIES = ("JPY", "CNY", "EUR", "INR", "EGP", "IRR", "CHF", "CVE", "KWD", "CLF")

READS = """async ([locales, currencies, amounts]) => {
  const { formatAmount, formatPrice, fractionDigits, parseAmount } = await import('/static/page/money.js');
  const wrong = [];
  for (const locale of locales) for (const currency of currencies) for (const amount of amounts[currency]) {
    for (const text of [formatPrice(amount, currency, locale), formatAmount(amount, currency, locale)]) {
      const read = parseAmount(text, fractionDigits(amount), currency, locale);
      if (read.decimal !== amount) wrong.push({ locale, currency, amount, text, read });
    }
  }
  return wrong.slice(0, 20);
}"""

READS_OTHERS = """async ([locales, currencies, amounts]) => {
  const { formatAmount, fractionDigits, parseAmount } = await import('/static/page/money.js');
  const wrong = [];
  let same = 0, asked = 0;
  for (const writer of locales) for (const reader of locales) for (const currency of currencies) {
    for (const amount of amounts[currency]) {
      const text = formatAmount(amount, currency, writer);
      const { decimal, error, readings } = parseAmount(text, fractionDigits(amount), currency, reader);
      if (decimal === amount) same += 1;
      else if (error === 'unclear' && readings.includes(amount)) asked += 1;
      else if (decimal !== undefined || readings) wrong.push({ writer, reader, currency, amount, text, decimal });
    }
  }
  return { wrong: wrong.slice(0, 20), same, asked };
}"""


def amounts_of(currency: str, many: int, seed: int) -> list[str]:
    """Amounts of every length: the shortest, the longest, and round ones, with groups and decimals that look alike."""
    chance, exponent = random.Random(f"{seed} {currency}"), EXPONENTS[currency]
    round_ones = [unit * 10**exponent for unit in (1, 12, 140, 999, 1000, 1500, 140_000, 1_000_000, 12_345_678)]
    any_ones = [chance.randrange(1, 10 ** chance.randint(1, 15)) for _ in range(many)]
    return [format_amount(minor, currency) for minor in [1, MAX_MINOR_UNITS, *round_ones, *any_ones]]


@pytest.fixture
def page(open_page: OpenPage, house: Server) -> Page:
    return open_page(f"{house.url}/lots/none", troubles=["status of 404"])


def test_what_is_shown_reads_back_as_exactly_the_amount(page: Page) -> None:
    amounts = {currency: amounts_of(currency, 12, 1) for currency in EXPONENTS}
    assert page.evaluate(READS, [LOCALES, CURRENCIES, amounts]) == []
    assert page.evaluate(READS, [["de", "fr", "en-IN", "de-CH", "ar-EG"], sorted(EXPONENTS), amounts]) == []


def test_what_another_locale_writes_is_never_read_as_another_amount(page: Page) -> None:
    locales = ["en", "de", "fr", "de-CH", "en-IN", "ar-EG", "fa", "pt-CV", "hi-u-nu-deva"]
    amounts = {currency: amounts_of(currency, 6, 2) for currency in CURRENCIES}
    found = page.evaluate(READS_OTHERS, [locales, CURRENCIES, amounts])
    assert found["wrong"] == []
    assert min(found["same"], found["asked"]) > 1000


def decimal(amount: str) -> dict[str, Any]:
    return {"decimal": amount}


def unclear(*readings: str) -> dict[str, Any]:
    return {"error": "unclear", "readings": [*readings]}


EMPTY, NO_NUMBER, TOO_PRECISE = ({"error": error} for error in ("empty", "not_a_number", "too_precise"))

TYPED = [
    # one's own format, more or less of it
    ("de", "EUR", "1.234,50", decimal("1234.50")), ("de", "EUR", "1234,5", decimal("1234.50")),
    ("de", "EUR", "1.234", decimal("1234.00")), ("en", "EUR", "1,234", decimal("1234.00")),
    ("en", "EUR", "0012", decimal("12.00")), ("en", "JPY", "3,000", decimal("3000")),
    ("de", "JPY", "3.000", decimal("3000")), ("fr", "EUR", "1 234,50", decimal("1234.50")),
    ("fr", "EUR", "1\u202f234,50", decimal("1234.50")), ("de-CH", "CHF", "1'234.50", decimal("1234.50")),
    ("de-CH", "CHF", "1’234.50", decimal("1234.50")), ("en", "EUR", "1 234.50", decimal("1234.50")),
    ("en-IN", "INR", "12,34,567", decimal("1234567.00")), ("en", "INR", "12,34,567", decimal("1234567.00")),
    ("ar-EG", "EGP", "١٬٢٣٤٫٥٠", decimal("1234.50")), ("ar-EG", "EGP", "1,234.50", decimal("1234.50")),
    ("fa", "IRR", "۱۲۳٫۵", decimal("123.50")), ("hi", "INR", "१२,३४,५६७.५", decimal("1234567.50")),
    ("ja", "JPY", "１２，３００", decimal("12300")),
    # the currency beside it, in any notation, and no other
    ("en", "CNY", "CN¥1,200", decimal("1200.00")), ("en", "CNY", "¥ 1,200", decimal("1200.00")),
    ("zh", "CNY", "￥1200", decimal("1200.00")), ("zh", "CNY", "1200元", decimal("1200.00")),
    ("en", "EUR", "12 eur", decimal("12.00")), ("fr", "EUR", "12 euros", decimal("12.00")),
    ("en", "EUR", "$12", NO_NUMBER), ("en", "EUR", "12 USD", NO_NUMBER), ("en", "EUR", "€12€", NO_NUMBER),
    # in doubt
    ("de", "KWD", "140.000", unclear("140000.000", "140.000")),
    ("en", "KWD", "140,000", unclear("140000.000", "140.000")), ("de", "KWD", "140,000", decimal("140.000")),
    ("en", "KWD", "140.000", decimal("140.000")),
    ("en", "EUR", "12,50", unclear("12.50")), ("de", "EUR", "12.50", unclear("12.50")),
    ("en", "EUR", "1.500", unclear("1500.00")), ("en", "EUR", "1.234,50", unclear("1234.50")),
    ("fr", "EUR", "1,500", unclear("1500.00")), ("fr", "KWD", "140.000", unclear("140000.000", "140.000")),
    ("ar-EG", "EGP", "١٢.٥٠", unclear("12.50")),
    # not an amount
    ("en", "EUR", "", EMPTY), ("en", "EUR", " \u200e\u00a0", EMPTY), ("en", "EUR", "abc", NO_NUMBER),
    ("en", "EUR", "-3", NO_NUMBER), ("en", "EUR", "0", NO_NUMBER), ("en", "EUR", "0.00", NO_NUMBER),
    ("en", "EUR", "1e3", NO_NUMBER), ("en", "EUR", "12 50", NO_NUMBER), ("en", "EUR", "1,23,45", NO_NUMBER),
    ("en", "EUR", "10²", NO_NUMBER), ("en", "EUR", "1½", NO_NUMBER), ("zh", "CNY", "1.5万", NO_NUMBER),
    ("en", "EUR", "1.5k", NO_NUMBER), ("ar-EG", "EGP", "١2", NO_NUMBER), ("en", "EUR", "1..5", NO_NUMBER),
    ("en", "EUR", "0,123", TOO_PRECISE), ("en", "EUR", "12.3456", TOO_PRECISE), ("ja", "JPY", "12.5", TOO_PRECISE),
]  # fmt: skip


def test_what_may_be_typed_and_what_it_means(page: Page) -> None:
    found = page.evaluate(
        """async (typed) => {
          const { parseAmount } = await import('/static/page/money.js');
          return typed.map(([locale, currency, digits, text]) => parseAmount(text, digits, currency, locale));
        }""",
        [(locale, currency, EXPONENTS[currency], text) for locale, currency, text, _ in TYPED],
    )
    wrong = [(*case, read) for case, read in zip(TYPED, found, strict=True) if case[-1] != read]
    assert wrong == []


# --- on the page of a lot --------------------------------------------------------------------------------------------


def open_lot(open_page: OpenPage, house: Server, guid: str, locale: str, who: str = "ann") -> tuple[Page, list[Any]]:
    """A bidder's page, and the bodies of the bids that it sends."""
    page = open_page(lot_url(house, guid, who), troubles=[REFUSED_BID], locale=locale)
    sent: list[Any] = []

    def listen(request: Request) -> None:
        if request.method == "POST":
            sent.append(json.loads(request.post_data or "null"))

    page.on("request", listen)
    expect_connection(page)
    return page, sent


@pytest.mark.parametrize("locale", ["de", "es", "it", "pt-BR", "tr", "nl", "id", "fr", "en-IN", "ar-EG"])
def test_a_quick_amount_bids_what_it_shows(open_page: OpenPage, house: Server, guid: str, locale: str) -> None:
    create(house, guid, currency="KWD", start_price="140.000", increments="flat:0.500")
    page, sent = open_lot(open_page, house, guid, locale)
    first = page.locator(".quick button").first
    expect(first).to_be_visible()
    shown = first.text_content()
    first.click()
    expect(page.locator("#bid-submit")).to_contain_text(shown or "nothing")
    assert page.locator("#amount").input_value() in (shown or "")
    page.keyboard.press("Enter")
    expect_price(page, "140.000")
    assert sent == [{"price": "140.000"}]


def test_the_form_writes_amounts_as_it_reads_them(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, currency="KWD", start_price="1140.000")
    page, sent = open_lot(open_page, house, guid, "de-DE")
    expect(page.locator("#amount")).to_have_attribute("placeholder", "1.140,000")
    place_bid(page, "abc")
    expect(page.locator("#message .words")).to_contain_text("Write it like this: 1.140,000")
    place_bid(page, "1.140")
    expect(page.locator("#message .words")).to_have_text(
        "“1.140” can mean 1.140,000\u00a0KWD or 1,140\u00a0KWD. Which do you mean?"
    )
    assert sent == []
    page.get_by_role("button", name="1.140,000\u00a0KWD", exact=True).last.click()
    expect(page.locator("#amount")).to_have_value("1.140,000")
    expect(page.locator("#bid-submit")).to_have_text("Bid 1.140,000\u00a0KWD")
    expect(page.locator("#bid-submit")).to_be_focused()
    page.keyboard.press("Enter")
    expect_price(page, "1140.000")
    assert sent == [{"price": "1140.000"}]


def any_terms(seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    currency = chance.choice(["JPY", "EUR", "KWD"])

    def amount(minor: int) -> str:
        return format_amount(minor, currency)

    start = chance.randrange(1, 3_000)
    steps = sorted(chance.randrange(1, 500) for _ in range(4))
    starts = [0, *sorted(chance.sample(range(1, 4_000), 3))]
    rows = [{"from": amount(at), "step": amount(step)} for at, step in zip(starts, steps, strict=True)]
    sale = {"price": amount(start + chance.randrange(600)), "mode": "ceiling"}
    return {
        "currency": currency, "start_price": amount(start), "increments": chance.choice([rows, rows, "ten-percent"]),
        "aligned": chance.random() < 0.6, "bidding": chance.choice(["manual", "proxy"]),
        "buy_now": sale if chance.random() < 0.3 else None,
    }  # fmt: skip


def test_every_quick_amount_under_any_terms_is_taken(open_page: OpenPage, house: Server, guid: str) -> None:
    locales = ["de", "en", "fr", "ar-EG"]
    for seed in range(15):
        name, terms, locale = f"{guid}-{seed}", any_terms(seed), locales[seed % len(locales)]
        create(house, name, **terms)
        if seed % 2:
            bid(house, name, "bob", terms["start_price"])
        state = httpx.get(f"{house.url}/auctions/{name}/price").json()
        offered = state["next_bids"]
        page, sent = open_lot(open_page, house, name, locale)
        if offered:
            expect(page.locator("#amount")).to_be_visible()
            expect(page.locator(".quick button:visible")).to_have_count(len(offered))
            taken = seed % len(offered)
            page.locator(".quick button").nth(taken).click()
            page.locator("#bid-submit").click()
            expect(page.locator("#message")).to_contain_text("Your bid of")
            assert sent == [{"max" if terms["bidding"] == "proxy" else "price": offered[taken]}], terms
        page.context.close()


def test_a_ceiling_is_bought_at_only_when_that_is_what_the_button_says(
    open_page: OpenPage, house: Server, guid: str
) -> None:
    create(house, guid, currency="EUR", buy_now={"price": "300.00", "mode": "ceiling"}, increments="flat:145")
    page, sent = open_lot(open_page, house, guid, "en-US")
    quick = page.locator(".quick button:visible")
    expect(quick).to_have_text(["€10.00", "€155.00"])
    page.locator("#amount").fill("500")
    expect(page.locator("#bid-submit")).to_have_text("Buy now for €300.00")
    page.keyboard.press("Enter")
    expect(page.locator("#message .words")).to_have_text("Buy this lot for €300.00? The auction ends at once.")
    page.locator("#amount").fill("299.99")
    expect(page.locator("#bid-submit")).to_have_text("Bid €299.99")
    expect(page.locator("#message .words")).to_be_hidden()
    page.keyboard.press("Enter")
    expect_standing(page, "leading", "You hold the highest bid")
    assert sent == [{"price": "299.99"}]
    bob, sent = open_lot(open_page, house, guid, "en-US", "bob")
    expect(bob.locator("#buy-now")).to_have_text("Buy now for €300.00")
    expect(bob.locator("#amount")).to_be_hidden()
    bob.locator("#buy-now").click()
    bob.get_by_role("button", name="Yes, buy for €300.00").click()
    expect_standing(bob, "winning", "You won this lot")
    assert sent == [{"buy_now": True}]


def test_with_buy_now_until_the_first_bid_a_high_bid_is_a_bid(open_page: OpenPage, house: Server, guid: str) -> None:
    create(house, guid, currency="EUR", buy_now={"price": "300.00", "mode": "until_first_bid"})
    page, sent = open_lot(open_page, house, guid, "en-US")
    page.locator("#amount").fill("500")
    expect(page.locator("#bid-submit")).to_have_text("Bid €500.00")
    page.keyboard.press("Enter")
    expect_price(page, "500.00")
    assert sent == [{"price": "500.00"}]
