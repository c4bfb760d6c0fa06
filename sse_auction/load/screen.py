"""The output of a load run: a live view on stderr, and the report as tables on stdout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sse_auction.auction.texts import counted
from sse_auction.load.figures import Summary
from sse_auction.load.report import Progress, Report

LINE_EVERY_SECONDS = 10


@contextmanager
def progress_on_stderr() -> Iterator[Callable[[Progress], None]]:
    """Yields the function to call with each `Progress`: a live view on a terminal, else a line every ten seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda progress: _show_line(console, progress)
        return
    with Live(Text("opening ...", style="dim"), console=console, auto_refresh=False, transient=True) as live:
        yield lambda progress: live.update(_live_view(progress), refresh=True)


def _show_line(console: Console, progress: Progress) -> None:
    if int(progress.elapsed) % LINE_EVERY_SECONDS == 0:
        console.print(
            f"{progress.elapsed:.0f} of {progress.total:.0f} s, {progress.phase}: "
            + ", ".join(f"{name} {value}" for name, value in _rows(progress)),
            soft_wrap=True,
            highlight=False,
        )


def _rows(progress: Progress) -> list[tuple[str, str]]:
    return [
        ("streams", f"{progress.streams_open} of {progress.streams_wanted} open"),
        ("drops", f"{progress.drops}, {counted(progress.reconnects, 'reconnect')}"),
        ("bids", f"{progress.bids_accepted} accepted of {progress.bids_due}, {counted(progress.errors, 'error')}"),
        ("delivery", _short(progress.delivery_ms)),
        ("bid", _short(progress.bid_ms)),
        ("this client", f"{progress.cpu_share:.0%} of a core, lag {_short(progress.lag_ms)}"),
    ]


def _short(figures: Summary) -> str:
    return "-" if figures.p50 is None else f"p50 {figures.p50:.1f} p99 {figures.p99:.1f} ms"


def _live_view(progress: Progress) -> Group:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _rows(progress):
        table.add_row(Text(name, style="dim"), value)
    done = min(progress.elapsed, progress.total)
    headline = Text(f"{progress.phase}, {progress.elapsed:.0f} of {progress.total:.0f} s", style="bold")
    return Group(headline, ProgressBar(total=progress.total, completed=done, width=60), table)


def print_report(report: Report) -> None:
    """Print the report for people on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    latencies = Table(box=box.SIMPLE_HEAD)
    latencies.add_column("ms")
    for title in ("samples", "p50", "p90", "p99", "max"):
        latencies.add_column(title, justify="right")
    for name, figures in (
        ("delivery", report.delivery_ms),
        ("staleness", report.staleness_ms),
        ("bid", report.bids.latency_ms),
        ("opening a stream", report.streams.opening_ms),
        ("lag of this client", report.client.lag_ms),
    ):
        marks = (figures.p50, figures.p90, figures.p99, figures.max)
        latencies.add_row(name, str(figures.count), *("-" if mark is None else f"{mark:.1f}" for mark in marks))
    console.print(latencies)
    counts = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    for name, value in _counts(report):
        counts.add_row(name, value)
    console.print(counts)
    console.print()
    if report.client.was_the_limit:
        console.print(
            f"The client was the limit: {', and '.join(report.client.limits)}. The service may be better than these "
            "figures; run fewer streams here and the others from further processes or machines.",
            style="bold yellow",
        )
    console.print("interrupted" if report.interrupted else "missed" if report.misses else "passed", style="bold")


def _counts(report: Report) -> list[tuple[str, str]]:
    streams, bids = report.streams, report.bids
    return [
        ("ran", f"{report.seconds:.1f} s against {report.url}, {counted(len(report.auctions), 'auction')}"),
        ("streams", f"{streams.opened} of {streams.wanted} opened"),
        ("at the end", f"{streams.open_at_end} open, {streams.down} down"),
        ("drops", f"{streams.drops}, {counted(streams.reconnects, 'reconnect')}, {streams.busy} refused as busy"),
        ("why connections ended", _listed(streams.ends)),
        ("events", f"{streams.events}, {streams.foreign} of bids by others, {streams.not_live} said not live"),
        ("revisions back", str(streams.regressions)),
        ("without the last price", str(streams.behind)),
        ("stale", f"{report.stale_share:.3%} of the watched time"),
        ("bids", f"{bids.accepted} accepted of {bids.due} by {counted(bids.bidders, 'bidder')}"),
        ("bids refused", _listed(bids.refused)),
        ("bids failed", f"{_listed(bids.failed)}; {bids.unknown} unknown, {bids.unsent} unsent"),
        ("this client", f"{report.client.cpu_share:.0%} of a core"),
    ]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"
