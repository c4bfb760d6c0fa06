"""Output for a terminal: states in words, the live view of one auction, the progress of a long file."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from sse_auction.auction.state import State
from sse_auction.auction.texts import counted

HISTORY_ROWS = 8


def describe(state: State) -> str:
    """A state in one line."""
    price = f"{state.price} {state.currency}" if state.price else f"no bid yet ({state.currency})"
    parts = [state.title or state.guid, state.status, price]
    if state.next_bid:
        parts.append(f"next bid {state.next_bid}")
    if state.buy_now:
        parts.append(f"buy now {state.buy_now}")
    if state.bids:
        parts.append(f"{counted(state.bids, 'bid')}, paddle {state.leader} leads")
    return " | ".join(parts + remarks(state))


def remarks(state: State) -> list[str]:
    """Further remarks about a state, in words."""
    said = []
    if state.paused:
        said.append("paused")
    if state.reserve_met is not None:
        said.append("reserve met" if state.reserve_met else "reserve not met")
    if state.extensions:
        said.append(f"extended {state.extensions} times" if state.extensions > 1 else "extended once")
    if state.outcome:
        said.append(state.outcome.replace("_", " "))
    return said


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, if that is a terminal; yields a function to call after each of `total` steps."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("creating", total=total)
        yield lambda: bar.advance(task)


async def show_live(states: AsyncIterator[State | None]) -> None:
    """Show states as they arrive, with the time left, until there are no more."""
    view = _View()
    with Live(view.render(), console=Console(), refresh_per_second=4, get_renderable=view.render):
        async for state in states:
            view.take(state)
            await asyncio.sleep(0)


class _View:
    def __init__(self) -> None:
        self._state: State | None = None
        self._live = False
        self._clock_offset_ms = 0.0
        self._prices: list[tuple[str, str]] = []

    def take(self, state: State | None) -> None:
        self._live = state is not None
        if state is None:
            return
        self._clock_offset_ms = state.now - time.monotonic() * 1000
        if state.price and (not self._prices or self._prices[0][1] != state.price):
            self._prices.insert(0, (time.strftime("%H:%M:%S"), state.price))
            del self._prices[HISTORY_ROWS:]
        self._state = state

    def render(self) -> Group:
        state = self._state
        if state is None:
            return Group(Text("waiting for the first state ...", style="dim"))
        style = "bold green" if self._live else "dim"
        headline = Text(f"{state.price or 'no bid yet'} {state.currency}", style=style)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row("status", state.status + ("" if self._live or state.is_final else "  (not live)"))
        table.add_row("next bid", state.next_bid or "-")
        table.add_row("bids", "-" if state.bids is None else f"{state.bids}, paddle {state.leader or '-'} leads")
        table.add_row("closes in", self._time_left(state))
        if said := remarks(state):
            table.add_row("", ", ".join(said))
        for at, price in self._prices:
            table.add_row(Text(at, style="dim"), Text(price, style="dim"))
        return Group(Text(state.title or state.guid, style="bold"), headline, table)

    def _time_left(self, state: State) -> str:
        if state.closes_at is None or state.is_final:
            return "-"
        if state.paused:
            return "paused"
        now = time.monotonic() * 1000 + self._clock_offset_ms
        seconds = max(0, int((state.closes_at - now) / 1000))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
