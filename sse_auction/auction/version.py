"""Which of two states of an auction is newer: what a viewer has seen, by its tag."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

_TAG = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,15})-([0-9]{1,16}(?:\.[0-9]{1,8})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """What a viewer already shows, as its tag says."""

    epoch: str
    rev: int
    price: Decimal | None

    @classmethod
    def of_tag(cls, tag: str) -> Self | None:
        """What `tag` says, or None when it is not a tag of this service."""
        match = _TAG.fullmatch(tag)
        if match is None:
            return None
        return cls(match[1], int(match[2]), Decimal(match[3]) if match[3] else None)

    def is_superseded_by(self, newer: "Version") -> bool:
        """Whether a viewer of this should be shown `newer`.

        A new epoch always. Of a recorded auction: no lower revision, and not the very same state. Of a plain
        one (revision 0): only a higher price, and the loss of the price.
        """
        if newer.epoch != self.epoch:
            return True
        if newer.rev or self.rev:
            return newer.rev >= self.rev and newer != self
        if newer.price is None or self.price is None:
            return newer.price != self.price
        return newer.price > self.price
