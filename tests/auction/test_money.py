"""Decimal strings to minor units and back: exactly, or not at all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_auction.auction.money import (
    EXPONENTS,
    MAX_MINOR_UNITS,
    WITHDRAWN,
    AmountError,
    check_current,
    exponent_of,
    format_amount,
    parse_amount,
    parse_foreign_price,
)

# Every currency that a release accepted, by decimals. Stores keep amounts in minor units of them: the list only grows.
ACCEPTED = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD "
    "HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU "
    "MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG "
    "SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST "
    "XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


def test_what_the_store_keeps_means_the_same_with_every_table_of_currencies() -> None:
    accepted = {code: exponent for exponent, codes in ACCEPTED.items() for code in codes.split()}
    assert accepted == EXPONENTS, "keep a withdrawn code in WITHDRAWN; add a new code above"


def test_a_new_auction_needs_a_current_currency() -> None:
    assert {each for each in EXPONENTS if is_current(each)} == EXPONENTS.keys() - WITHDRAWN.keys()
    assert (exponent_of("XCG"), exponent_of("ANG"), exponent_of("BGN")) == (2, 2, 2)
    with pytest.raises(AmountError, match="'BGN' was withdrawn from ISO 4217"):
        check_current("BGN")
    for code in ("XAU", "XTS", "XXX", "DEM", "eur", ""):
        with pytest.raises(AmountError, match="is not an ISO 4217 currency code"):
            check_current(code)


def is_current(currency: str) -> bool:
    try:
        check_current(currency)
    except AmountError:
        return False
    return True


@given(st.integers(0, MAX_MINOR_UNITS), st.sampled_from(sorted(EXPONENTS)))
def test_every_amount_survives_the_way_out_and_back(minor: int, currency: str) -> None:
    text = format_amount(minor, currency)
    assert parse_amount(text, currency) == minor
    assert Decimal(text).scaleb(EXPONENTS[currency]) == minor
    assert parse_foreign_price(text, currency) == text


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("125", "CNY", 12500), ("125.5", "CNY", 12550), ("0.01", "CNY", 1), ("30000", "JPY", 30000), ("1.5", "KWD", 1500),
     ("9007199254740991", "JPY", MAX_MINOR_UNITS), ("90071992547409.91", "USD", MAX_MINOR_UNITS)],
)  # fmt: skip
def test_amounts_are_read_in_their_currency(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "complaint"),
    [("1.005", "CNY", "3 decimals, CNY has 2"), ("1.500", "CNY", "3 decimals"), ("1.0", "JPY", "1 decimal, JPY has 0"),
     ("9007199254740992", "JPY", "above the largest"), ("12345678901234567", "CNY", "above the largest amount, 9007"),
     ("9" * 17, "JPY", "above the largest"), ("1" + "0" * 39, "KWD", "above the largest"),
     ("1." + "0" * 9, "KWD", "9 decimals, KWD has 3"), ("9" * 100_000, "JPY", "above the largest"),
     ("", "CNY", "not a decimal"), ("-1", "CNY", "not a decimal"),
     ("+1", "CNY", "not a decimal"), ("1e3", "CNY", "not a decimal"), (" 1", "CNY", "not a decimal"),
     ("1.", "CNY", "not a decimal"), (".5", "CNY", "not a decimal"), ("01", "CNY", "not a decimal"),
     ("NaN", "CNY", "not a decimal"), ("\uff11\uff12", "CNY", "not a decimal"), ("1,000", "CNY", "not a decimal"),
     ("1\n", "CNY", "not a decimal"), ("1", "XXQ", "not an ISO 4217")],
)  # fmt: skip
def test_an_amount_that_does_not_fit_is_refused_with_the_reason(text: str, currency: str, complaint: str) -> None:
    with pytest.raises(AmountError, match=complaint):
        parse_amount(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "shown"),
    [("101", "CNY", "101.00"), ("99.5", "CNY", "99.50"), ("0099.50", "CNY", "99.50"), ("1.234", "CNY", "1.234"),
     ("7", "JPY", "7"), (" 5.00\n", "CNY", "5.00"), ("0", "CNY", "0.00"), ("abc", "CNY", None), ("", "CNY", None),
     ("-1", "CNY", None), ("1e5", "CNY", None), ("99999999999999999999", "CNY", None)],
)  # fmt: skip
def test_a_foreign_price_is_shown_with_its_currencys_decimals_and_never_rounded(
    text: str, currency: str, shown: str | None
) -> None:
    assert parse_foreign_price(text, currency) == shown
