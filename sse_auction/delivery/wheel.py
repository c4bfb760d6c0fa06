"""A timing wheel: many timers with coarse deadlines, at the price of one."""

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

_Entry = TypeVar("_Entry", bound=Hashable)


class TimingWheel(Generic[_Entry]):
    """Entries in slots of `tick_seconds`; each is in one slot at a time. Moments are monotonic seconds.

    An entry comes out up to a tick after its moment and never before it.
    """

    def __init__(self, tick_seconds: float) -> None:
        self._tick_seconds = tick_seconds
        self._slots: dict[int, set[_Entry]] = {}
        self._swept = 0  # the slot that was swept last

    def start(self) -> None:
        """Begin now: entries that are due already come out with the next sweep."""
        self._swept = int(time.monotonic() / self._tick_seconds)

    @property
    def seconds_to_sweep(self) -> float:
        """How long until the next slot is due."""
        return (self._swept + 1) * self._tick_seconds - time.monotonic()

    def sweep(self) -> set[_Entry]:
        """Take out the entries of the next slot."""
        self._swept += 1
        return self._slots.pop(self._swept, set())

    def add(self, entry: _Entry, moment: float) -> int:
        """Put an entry in at a moment; returns its slot, for `remove`."""
        # Never in the slot that was swept last: timers wake up to a millisecond early, before its time by this clock.
        slot = max(int(max(moment, time.monotonic()) / self._tick_seconds), self._swept) + 1
        self._slots.setdefault(slot, set()).add(entry)
        return slot

    @property
    def is_empty(self) -> bool:
        """Whether no entry is in it."""
        return not self._slots

    def remove(self, entry: _Entry, slot: int) -> None:
        """Take an entry out of a slot, if it is there."""
        entries = self._slots.get(slot)
        if entries is not None:
            entries.discard(entry)
            if not entries:
                del self._slots[slot]
