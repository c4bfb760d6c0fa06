"""The step from the price to the next bid: a table of bands, or ten per cent.

Rule: every accepted table has a step above 0 at every price.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Self

from sse_auction.auction.money import AmountError, parse_amount

_PRESETS_IN_MAJOR_UNITS = {
    "ebay-us": "0:.05 1:.25 5:.50 25:1 100:2.50 250:5 500:10 1000:25 2500:50 5000:100",
    "yahoo-jp": "0:10 1000:100 5000:250 10000:500 50000:1000",
}
_TEN_PERCENT = "ten-percent"
MAX_BANDS = 100


@dataclass(frozen=True, slots=True)
class Increments:
    """The steps to the next bid: bands of (from, step) in minor units, or ten per cent."""

    bands: tuple[tuple[int, int], ...]  # ascending; empty: a tenth of the price, rounded up, at least one unit

    def step(self, price: int) -> int:
        """The smallest raise at `price`, in minor units."""
        if not self.bands:
            return max(1, -(-price // 10))
        for start, step in reversed(self.bands):
            if start <= price:
                return step
        raise ValueError(price)  # unreachable: the first band starts at 0, and no price is below 0

    def dump(self) -> str:
        """The form in the store: `0:5,100:25`, or `ten-percent`."""
        return ",".join(f"{start}:{step}" for start, step in self.bands) or _TEN_PERCENT

    @staticmethod
    @lru_cache(maxsize=1024)  # few tables, parsed with every state
    def load(text: str) -> "Increments":
        """The reverse of `dump`."""
        if text == _TEN_PERCENT:
            return Increments(())
        bands = (band.partition(":") for band in text.split(","))
        return Increments(tuple((int(start), int(step)) for start, _, step in bands))

    @classmethod
    def from_preset(cls, name: str, currency: str) -> Self:
        """A preset by name: `flat:1.00`, `ten-percent`, `ebay-us`, `yahoo-jp`.

        Raises: `AmountError` when there is no such preset, or it does not fit the currency.
        """
        if name == _TEN_PERCENT:
            return cls(())
        kind, _, step = name.partition(":")
        if kind == "flat":
            return cls.from_table([("0", step)], currency)
        if name not in _PRESETS_IN_MAJOR_UNITS:
            known = ", ".join(["flat:N", _TEN_PERCENT, *_PRESETS_IN_MAJOR_UNITS])
            raise AmountError(f"increments {name[:40]!r} is not a preset; there are {known}")
        rows = (row.partition(":") for row in _PRESETS_IN_MAJOR_UNITS[name].split())
        try:
            return cls.from_table([(_plain(start), _plain(step)) for start, _, step in rows], currency)
        except AmountError as error:
            raise AmountError(f"increments {name!r} do not fit {currency}: {error}") from None

    @classmethod
    def from_table(cls, rows: Sequence[tuple[str, str]], currency: str) -> Self:
        """Rows of (from, step) as decimal strings: the first from 0, ascending, with steps above 0 that never fall.

        Raises: `AmountError` with a sentence.
        """
        if not 1 <= len(rows) <= MAX_BANDS:
            raise AmountError(f"increments have {len(rows)} bands; 1 to {MAX_BANDS} are possible")
        bands = tuple((parse_amount(start, currency), parse_amount(step, currency)) for start, step in rows)
        if bands[0][0] != 0:
            raise AmountError(f"the first increment band starts at {rows[0][0]}, it must start at 0")
        if bands[0][1] <= 0:
            raise AmountError(f"increment step {rows[0][1]} is not above 0")
        for (start, step), (next_start, next_step), row in zip(bands, bands[1:], rows[1:], strict=False):
            if next_start <= start:
                raise AmountError(f"increment band {row[0]} does not start above the band before it")
            if next_step < step:
                raise AmountError(f"increment step {row[1]} from {row[0]} is below the step before it")
        return cls(bands)


def _plain(number: str) -> str:
    """A number of a preset's table as `parse_amount` accepts it in any currency: no bare dot, no trailing zeros."""
    return format(Decimal(number).normalize(), "f")
