"""The load test as a command: its options, the tokens of its bidders, and the exit code for its report.

The test is imported only when it runs, so that the other commands start faster.
"""

import asyncio
import uuid
from typing import IO, Any

import click

from sse_auction.auction.texts import counted
from sse_auction.cli.options import auction_guids
from sse_auction.settings import Settings
from sse_auction.web.tokens import Tokens, secret_of
from sse_auction.wire.replies import encode


@click.command()
@click.argument("url")
@click.option("--guid", "guids", multiple=True,
              callback=lambda c, p, v: tuple(auction_guids(c, p, v)),
              help="An auction to watch and bid in; may be given several times. [new ones]")  # fmt: skip
@click.option("--auctions", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many to create.")
@click.option("--streams", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Open streams.")
@click.option("--bidders", type=click.IntRange(0, 100_000), help="The number of bidders. [as many as --tokens, 10]")
@click.option("--bids-per-second", "rate", type=click.FloatRange(0.01, 100_000), default=10.0, show_default=True,
              help="Of all bidders together; a bid is sent when due, even if answers are slow.")  # fmt: skip
@click.option("--ramp", type=click.FloatRange(0, 86_400), default=5.0, show_default=True,
              help="Seconds in which streams, bidders and bids rise to full load.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(0.1, 86_400 * 7), default=30.0, show_default=True,
              help="Seconds at full load.")  # fmt: skip
@click.option("--token", envvar="SSE_AUCTION_TOKEN",
              help="An operator's, to create auctions. [SSE_AUCTION_TOKEN; made with SSE_AUCTION_SECRET]")  # fmt: skip
@click.option("--tokens", "token_file", type=click.File(),
              help="Bidders' tokens, one per line; - is stdin. [made with SSE_AUCTION_SECRET]")  # fmt: skip
@click.option("--max-delivery-p99", "delivery_p99", type=click.FloatRange(0), metavar="MS", help="An upper bound.")
@click.option("--max-staleness-p99", "staleness_p99", type=click.FloatRange(0), metavar="MS", help="An upper bound.")
@click.option("--max-bid-p99", "bid_p99", type=click.FloatRange(0), metavar="MS", help="An upper bound.")
@click.option("--max-drops", "drops", type=click.IntRange(0), help="An upper bound on streams that were cut.")
@click.option("--max-errors", "errors", type=click.IntRange(0),
              help="An upper bound on bids without a proper answer and streams that could not be opened.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
def load(
    url: str, guids: tuple[str, ...], auctions: int, streams: int, bidders: int | None, rate: float, ramp: float,
    duration: float, token: str | None, token_file: IO[str] | None, as_json: bool, **bounds: Any,
) -> int:  # fmt: skip
    """Load-test the service at URL with streams and bidders.

    Delivery counts from the moment a bid was due until a stream shows it or a newer one; staleness from the moment
    its bidder got the answer. The refusal of a bid that lost a race is an answer, not an error.

    Exit code 1 when a bound is exceeded. Also when a revision went back, and when at the end a stream lacks the last
    price or is down, or the service does not answer. Exit code 130 after Ctrl-C, with the report.

    The report says when this process itself was the limit: it takes about 5,000 events per second on one core, such as
    250 streams of an auction that moves 20 times a second. For more, run several with the same --guid.
    """
    from sse_auction.load.drive import Plan, run_load
    from sse_auction.load.report import Bounds, judged
    from sse_auction.load.screen import print_report, progress_on_stderr

    settings = Settings.from_environment()
    plan = Plan(
        url=url, token=token or _made_token(settings, "load", role="operator"), guids=guids, auctions=auctions,
        streams=streams, tokens=_bidders_tokens(settings, token_file, bidders), rate=rate, ramp=ramp, duration=duration,
    )  # fmt: skip
    with progress_on_stderr() as show:
        report = judged(asyncio.run(run_load(plan, settings, show)), Bounds(**bounds))
    if as_json:
        click.echo(encode(report))
    else:
        print_report(report)
    for miss in report.misses:
        click.echo(f"sse-auction: {miss}", err=True)
    return 130 if report.interrupted else 1 if report.misses else 0


def _made_token(settings: Settings, subject: str, *, role: Any = "bidder") -> str:
    return Tokens(secret_of(settings)).issue(subject, role=role, life_seconds=8 * 86_400)


def _bidders_tokens(settings: Settings, file: IO[str] | None, bidders: int | None) -> tuple[str, ...]:
    """One token per bidder: the first ones of `file`, or new ones made with the local secret."""
    if file is None:
        run = uuid.uuid4().hex[:8]
        number = 10 if bidders is None else bidders
        return tuple(_made_token(settings, f"load-{run}-{each}") for each in range(1, number + 1))
    tokens = tuple(filter(None, map(str.strip, file)))
    if len(tokens) < (1 if bidders is None else bidders):
        raise click.UsageError(
            f"--tokens has {counted(len(tokens), 'token')}, too few for {counted(bidders or 1, 'bidder')}."
        )
    return tokens[:bidders]
