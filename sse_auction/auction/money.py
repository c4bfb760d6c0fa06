"""Money: integer minor units inside, decimal strings outside.

Rule: no float, no rounding. A string that does not fit its currency is refused with a sentence that says why.
Exponents (decimals per currency) and codes are those of ISO 4217, from the table in the package iso4217. This module
knows nothing about auctions.
"""

import re

import iso4217

MAX_MINOR_UNITS = 2**53 - 1  # the largest integer that Lua, JSON readers and JavaScript hold exactly

# Codes that ISO 4217 has withdrawn and earlier releases accepted. Stores keep auctions in them: these are shown, bid
# on, settled and verified as before. A code that leaves the ISO list moves here; tests/auction/test_money.py checks it.
WITHDRAWN = {"ANG": 2, "BGN": 2}
# Codes without an exponent, such as XAU (gold) and XTS (tests), are no currencies to bid in.
EXPONENTS: dict[str, int] = WITHDRAWN | {
    each.code: each.exponent for each in iso4217.Currency if each.exponent is not None
}

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)
_ENOUGH_DIGITS = len(str(MAX_MINOR_UNITS)) + 1  # an amount with more is too large; Python refuses to read thousands
_FOREIGN_DECIMAL = re.compile(r"0*([0-9]{1,16})(?:\.([0-9]{1,8}))?", re.ASCII)


class AmountError(ValueError):
    """An amount or a currency that is not accepted; the message is a sentence for the person who sent it."""


def exponent_of(currency: str) -> int:
    """Decimals of a current or withdrawn `currency`, such as 0 for JPY, 2 for CNY.

    Raises: `AmountError` for another code.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise AmountError(f"{currency[:40]!r} is not an ISO 4217 currency code such as CNY, JPY or KWD") from None


def check_current(currency: str) -> None:
    """Check the currency of a new auction. Raises: `AmountError` when ISO 4217 does not have it, or not any more."""
    exponent_of(currency)
    if currency in WITHDRAWN:
        raise AmountError(f"{currency!r} was withdrawn from ISO 4217; a new auction needs a current currency")


def parse_amount(text: str, currency: str) -> int:
    """Minor units of a decimal string such as `125.00`. Raises: `AmountError` unless `currency` holds it exactly."""
    exponent = exponent_of(currency)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountError(f"{text[:40]!r} is not a decimal amount such as {format_amount(12500, currency)!r}")
    whole, part = match[1], match[2] or ""
    if len(part) > exponent:
        decimals = "1 decimal" if len(part) == 1 else f"{len(part)} decimals"
        raise AmountError(f"{text[:40]!r} has {decimals}, {currency} has {exponent}")
    minor = int((whole + part.ljust(exponent, "0"))[:_ENOUGH_DIGITS])
    if minor > MAX_MINOR_UNITS:
        raise AmountError(f"{text[:40]!r} is above the largest amount, {format_amount(MAX_MINOR_UNITS, currency)}")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """The decimal string of `minor` units with exactly the currency's decimals, such as `125.00`."""
    exponent = exponent_of(currency)
    if exponent == 0:
        return str(minor)
    digits = str(minor).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}"


def parse_foreign_price(text: str, currency: str) -> str | None:
    """A price that another program wrote, as this service shows it; None when it is no price.

    It is read as an exact decimal and shown with at least the currency's decimals (`101` -> `101.00`, `0099.5` ->
    `99.50`). It is never rounded: decimals beyond the currency's are kept.
    """
    match = _FOREIGN_DECIMAL.fullmatch(text.strip())
    if match is None:
        return None
    exponent = exponent_of(currency)
    whole, part = match[1], (match[2] or "").ljust(exponent, "0")
    if int(whole + part[:exponent]) > MAX_MINOR_UNITS:
        return None
    return f"{whole}.{part}" if part else whole
