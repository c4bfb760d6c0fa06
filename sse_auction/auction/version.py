"""Compares two states of an auction by their tags: which one is newer."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

_TAG = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,15})-([0-9]{1,16}(?:\.[0-9]{1,8})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a state, parsed from its tag."""

    epoch: str
    rev: int
    price: Decimal | None

    @classmethod
    def of_tag(cls, tag: str) -> Self | None:
        """The version in `tag`; None when it is not a tag of this service."""
        match = _TAG.fullmatch(tag)
        if match is None:
            return None
        return cls(match[1], int(match[2]), Decimal(match[3]) if match[3] else None)

    def is_superseded_by(self, newer: "Version") -> bool:
        """Whether a viewer that shows this version should get `newer`.

        A new epoch: always. A managed auction: unless the revision is lower or the version is the same. An external
        auction (revision 0): only for a higher price, or when the price is lost.
        """
        if newer.epoch != self.epoch:
            return True
        if newer.rev or self.rev:
            return newer.rev >= self.rev and newer != self
        if newer.price is None or self.price is None:
            return newer.price != self.price
        return newer.price > self.price
