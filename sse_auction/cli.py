"""The command `sse-auction`. Every error is one sentence on stderr and exit code 1; wrong usage is 2, as everywhere."""

import asyncio
import logging
import os
import sys
import uuid
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from sse_auction import __version__, lots
from sse_auction.auction import Act, is_guid
from sse_auction.auth import InvalidToken, Tokens, secret_of
from sse_auction.client import Client, ClientError, StoreClient, open_client
from sse_auction.link import StoreError
from sse_auction.settings import Settings, SettingsError
from sse_auction.terminal import describe, progress, show_live
from sse_auction.wire import BidRequest, CreateRequest, encode

_T = TypeVar("_T")


def main() -> None:
    """Run the command line."""
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (SettingsError, StoreError, ClientError, InvalidToken) as error:
        click.echo(f"sse-auction: {error}", err=True)
        sys.exit(1)
    except UnicodeEncodeError as error:  # bytes on the command line that are no UTF-8 come as lone surrogates
        click.echo(f"sse-auction: {error.object!r} cannot be sent: {error.reason}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sse-auction")
def commands() -> None:
    """Live maximum prices for auctions, pushed to every watcher over Server-Sent Events.

    Settings come from the environment: REDIS_URL (without it, an embedded store in SSE_AUCTION_DATA_DIR is started
    or joined), PORT, WEB_CONCURRENCY, SSE_AUCTION_SECRET and others; docs/reference.md lists them all.
    """


# --- serve -----------------------------------------------------------------------------------------------------


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one. [PORT, 8000]")
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes. [WEB_CONCURRENCY, 1]")
@click.option("--demo", is_flag=True, help="Seed a few lots with house bidders, and let visitors bid as guests.")
def serve(host: str, port: int | None, workers: int | None, demo: bool) -> int:
    """Serve pages, streams, polls and bids until stopped by Ctrl-C or SIGTERM."""
    from sse_auction.server import (
        serve as run_server,  # not needed by the other commands, which start quicker so
    )
    from sse_auction.service import store_url
    from sse_auction.store import check_store

    overrides = {"PORT": port, "WEB_CONCURRENCY": workers, "SSE_AUCTION_DEMO": "1" if demo else None}
    for variable, value in overrides.items():
        if value is not None:
            os.environ[variable] = str(value)  # worker processes read the environment too
    settings = Settings.from_environment()
    secret_of(settings)  # so that a missing one is said once and not by every worker
    try:
        with store_url(settings) as url:
            asyncio.run(check_store(url, settings.store_timeout_seconds))
            return run_server(settings, host)
    except OSError as error:
        raise ClientError(f"cannot listen on {host} port {settings.port}: {error.strerror}") from None


# --- commands about one auction ----------------------------------------------------------------------------------


def _service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the service; without --url it is the store itself."""
    options = (
        click.option("--url", envvar="SSE_AUCTION_URL", help="A service elsewhere. [SSE_AUCTION_URL; the store]"),
        click.option("--token", envvar="SSE_AUCTION_TOKEN", help="Your token there. [SSE_AUCTION_TOKEN]"),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _run(url: str | None, token: str | None, act: Callable[[Client], Coroutine[Any, Any, _T]], bidder: str = "") -> _T:
    """Do `act` with a client of the chosen service."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="sse-auction: %(message)s")

    async def run() -> _T:
        async with open_client(url, token, bidder, Settings.from_environment()) as client:
            return await act(client)

    return asyncio.run(run())


def _guid(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_guid(value):
        raise click.BadParameter(f"{value!r} cannot name an auction: 1 to 64 of A-Z a-z 0-9 _ - are needed.")
    return value


def _by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """An option's callback that reads its text with `parse`."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


_moment = _by(lots.moment)


@commands.command()
@click.argument("title", required=False)
@click.option("--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A file of auctions instead, .csv or .ndjson: all of them are created, or none.")  # fmt: skip
@click.option("--start-price", help="The least first bid, such as 10.00.")
@click.option("--closes", "closes_at", callback=_moment, help="+90s, +10m, +2h, +3d, or epoch ms.")
@click.option("--opens", "opens_at", callback=_moment, help="The same; at once when left out.")
@click.option("--currency", default="", help="ISO 4217 code. [SSE_AUCTION_CURRENCY, CNY]")
@click.option(
    "--increments", default="flat:1", show_default=True, callback=_by(lots.increments),
    help="flat:N, ten-percent, ebay-us, yahoo-jp, or a table such as 0:1.00,100:5.00.",
)  # fmt: skip
@click.option("--guid", callback=_guid, help="The auction's name in URLs and keys; a UUID when left out.")
@click.option("--seller", help="The bidder's id that must not bid.")
@click.option("--bidding", type=click.Choice(["manual", "proxy"]), default="manual", show_default=True,
              help="Whether a bid is its price, or a secret maximum.")  # fmt: skip
@click.option("--aligned", is_flag=True, help="Bids are whole steps above the price.")
@click.option("--reserve", help="The least price at which it is sold; nobody is told.")
@click.option(
    "--buy-now", callback=_by(lots.buy_now), help="A price at which it can be bought; 300.00:ceiling by any such bid."
)
@click.option("--soft-close", default="usual", show_default=True, callback=_by(lots.soft_close),
              help="usual (120 s), live (30 s), judicial (300 s), WINDOW:EXTEND in seconds, or none.")  # fmt: skip
@click.option("--hard-close", "hard_close_at", callback=_moment, help="No extension goes beyond this.")
@click.option("--max-extensions", type=click.IntRange(0), help="How many extensions at most.")
@click.option("--priority", multiple=True, callback=lambda c, p, v: list(v), help="A bidder's id who wins ties.")
@_service_options
@click.pass_context
def create(
    context: click.Context, /, title: str | None, file: Path | None, guid: str | None, url: str | None,
    token: str | None, as_json: bool, **terms: Any,
) -> None:  # fmt: skip
    """Create an auction with TITLE, or all those of a file."""
    if file is not None:
        given = [name for name in ("title", "guid", *terms) if _is_given(context, name)]
        if given:
            raise click.UsageError(f"--from takes all terms from the file, so leave out {', '.join(given)}.")
        _create_all(file, url, token, as_json)
        return
    missing = {"TITLE": title, "--start-price": terms["start_price"], "--closes": terms["closes_at"]}
    if absent := [name for name, value in missing.items() if value is None]:
        raise click.UsageError(f"Missing {', '.join(absent)}; or give a file with --from.")
    request = CreateRequest(title=title or "", **terms)
    made = _run(url, token, lambda client: client.create(request, guid or str(uuid.uuid4())))
    click.echo(encode(made) if as_json else f"{made.state.guid}  {describe(made.state)}")


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _create_all(file: Path, url: str | None, token: str | None, as_json: bool) -> None:
    if file.suffix not in (".csv", ".ndjson"):
        raise click.UsageError(f"{file.name} is neither .csv nor .ndjson.")
    try:
        text = file.read_text("utf-8-sig")  # a spreadsheet begins its files with a mark
        wanted = lots.read_lots(text, is_csv=file.suffix == ".csv", currency=Settings.from_environment().currency)
    except (lots.WrongLots, UnicodeDecodeError) as error:
        raise ClientError(f"{file} cannot be taken, and nothing was created:\n{error}") from None

    async def make(client: Client) -> None:
        there = [lot for lot in wanted if lot.request.guid and await client.exists(lot.guid)]
        taken = [f"line {lot.line}: auction {lot.guid!r} exists already" for lot in there]
        if taken:
            raise ClientError(f"{file} cannot be taken, and nothing was created:\n" + "\n".join(taken))
        with progress(len(wanted)) as advance:
            for number, lot in enumerate(wanted):
                try:
                    made = await client.create(lot.request, lot.guid)
                except (ClientError, StoreError) as error:
                    done = f"the {number} before it were created" if number else "nothing was created"
                    raise ClientError(f"{file} line {lot.line}: {error}; {done}") from None
                advance()
                click.echo(encode(made) if as_json else f"{made.state.guid}  {describe(made.state)}")

    _run(url, token, make)


@commands.command()
@click.argument("guid", callback=_guid)
@click.argument("price", required=False)
@click.option("--max", "maximum", help="In a proxy auction: the most you would pay, which nobody is told.")
@click.option("--buy-now", is_flag=True, help="Buy at the buy-now price.")
@click.option("--bidder", help="Who bids, when bidding straight into the store; with --url the token says it.")
@click.option("--confirm", is_flag=True, help="You mean an amount over a hundred times the next bid.")
@click.option("--key", help="Idempotency key: the same bid sent again with it counts once.")
@_service_options
def bid(
    guid: str, price: str | None, maximum: str | None, buy_now: bool, bidder: str | None, confirm: bool,
    key: str | None, url: str | None, token: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Bid PRICE (or --max, or --buy-now) in auction GUID."""
    if url is None and not bidder:
        raise click.UsageError("Say who bids with --bidder, or where the service is with --url.")
    request = BidRequest(price=price, max=maximum, buy_now=buy_now, confirm=confirm)
    made = _run(url, token, lambda client: client.bid(guid, request, key), bidder or "")
    told = f"accepted as bid {made.seq}, paddle {made.paddle}, {made.standing}: {describe(made.state)}"
    click.echo(encode(made) if as_json else told)


@commands.command()
@click.argument("guid", callback=_guid)
@_service_options
def price(guid: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Print the state of auction GUID once."""
    state = _run(url, token, lambda client: client.price(guid))
    click.echo(encode(state) if as_json else describe(state))


@commands.command()
@click.argument("guid", callback=_guid)
@_service_options
def watch(guid: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Follow auction GUID live until it ends or you press Ctrl-C.

    With --json, or when the output is no terminal, it is one line per state.
    """

    async def follow(client: Client) -> None:
        async with aclosing(client.watch(guid)) as states:
            if sys.stdout.isatty() and not as_json:
                await show_live(states)
                return
            async for state in states:
                if state is not None:
                    click.echo(encode(state) if as_json else describe(state))
                elif not as_json:
                    click.echo("not live")

    _run(url, token, follow)


# --- what operators do -------------------------------------------------------------------------------------------


def _act(guid: str, act: Act, reason: str, url: str | None, token: str | None, as_json: bool) -> None:
    made = _run(url, token, lambda client: client.act(guid, act, reason))
    click.echo(encode(made) if as_json else describe(made.state))


def _operator_command(name: str, summary: str) -> None:
    """A command that needs a reason and nothing else."""

    @commands.command(name, help=f"{summary} auction GUID.")
    @click.argument("guid", callback=_guid)
    @click.option("--reason", required=True, help="Why; it is kept in the log.")
    @_service_options
    def run(guid: str, reason: str, url: str | None, token: str | None, as_json: bool) -> None:
        _act(guid, Act(name), reason, url, token, as_json)  # type: ignore[arg-type]  # one of the acts below


for _name, _summary in (("cancel", "Call off"), ("close", "Let the hammer fall now for"),
                        ("pause", "Stop the clock of"), ("resume", "Let the clock go on of")):  # fmt: skip
    _operator_command(_name, _summary)


@commands.command()
@click.argument("guid", callback=_guid)
@click.option("--closes", "closes_at", callback=_moment, required=True, help="+90s, +10m, +2h, +3d, or epoch ms.")
@click.option("--reason", required=True, help="Why; it is kept in the log.")
@_service_options
def extend(guid: str, closes_at: int, reason: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Move the closing of auction GUID to a later time."""
    _act(guid, Act("extend", closes_at=closes_at), reason, url, token, as_json)


@commands.command()
@click.argument("guid", callback=_guid)
@click.argument("title")
@click.option("--reason", required=True, help="Why; it is kept in the log.")
@_service_options
def rename(guid: str, title: str, reason: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Give auction GUID another TITLE."""
    _act(guid, Act("edit", title=title), reason, url, token, as_json)


@commands.command()
@click.argument("guid", callback=_guid)
@click.argument("bidder")
@click.option("--reason", required=True, help="Why; it is kept in the log.")
@_service_options
def void(guid: str, bidder: str, reason: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Declare all bids of BIDDER in auction GUID void."""
    _act(guid, Act("void", bidder=bidder), reason, url, token, as_json)


# --- the log ---------------------------------------------------------------------------------------------------


@commands.command()
@click.argument("guid", callback=_guid)
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True)
@click.option("--out", type=click.File("wb"), default="-", help="A file; stdout when left out.")
@click.option("--url", envvar="SSE_AUCTION_URL", help="A service elsewhere. [SSE_AUCTION_URL; the store]")
@click.option("--token", envvar="SSE_AUCTION_TOKEN", help="Your token there. [SSE_AUCTION_TOKEN]")
def export(guid: str, form: Any, out: IO[bytes], url: str | None, token: str | None) -> None:
    """Write the log of auction GUID: every bid, every operator's act. With --url, what the token may see."""

    async def write(client: Client) -> None:
        async with aclosing(client.export(guid, form)) as pieces:
            async for piece in pieces:
                out.write(piece)

    _run(url, token, write)


@commands.command()
@click.argument("guid", callback=_guid)
def verify(guid: str) -> int:
    """Go through the log of auction GUID, in the store, and say what the store has otherwise."""

    async def look(client: Client) -> list[str]:
        assert isinstance(client, StoreClient)
        return await client.verify(guid)

    found = _run(None, None, look)
    click.echo("\n".join(found) if found else f"auction {guid} is what its log says")
    return 1 if found else 0


@commands.command()
@click.option("--retry", callback=_guid, metavar="GUID", help="Send this auction's again.")
def webhooks(retry: str | None) -> None:
    """List what could not be told by webhook, in the store: an auction's event a line, as JSON."""

    async def look(client: Client) -> list[tuple[str, dict[str, str]]]:
        assert isinstance(client, StoreClient)
        return await client.dead_letters(retry)

    for guid, fields in _run(None, None, look):
        click.echo(encode({"guid": guid, **fields, "id": f"{guid}/{fields['id']}"}))


# --- load --------------------------------------------------------------------------------------------------------


@commands.command()
@click.argument("url")
@click.option("--guid", "guids", multiple=True, callback=lambda c, p, v: tuple(str(_guid(c, p, each)) for each in v),
              help="An auction to watch and bid in; may be given several times. [new ones]")  # fmt: skip
@click.option("--auctions", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many new ones.")
@click.option("--streams", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Open streams.")
@click.option("--bidders", type=click.IntRange(0, 100_000), help="Who bids. [as many as --tokens, 10]")
@click.option("--bids-per-second", "rate", type=click.FloatRange(0.01, 100_000), default=10.0, show_default=True,
              help="Of all together, sent when due, however slow the answers are.")  # fmt: skip
@click.option("--ramp", type=click.FloatRange(0, 86_400), default=5.0, show_default=True,
              help="Seconds over which streams, bidders and bids rise.")  # fmt: skip
@click.option("--duration", type=click.FloatRange(0.1, 86_400 * 7), default=30.0, show_default=True,
              help="Seconds at full load.")  # fmt: skip
@click.option("--token", envvar="SSE_AUCTION_TOKEN",
              help="An operator's, for new auctions. [SSE_AUCTION_TOKEN; made with SSE_AUCTION_SECRET]")  # fmt: skip
@click.option("--tokens", "token_file", type=click.File(),
              help="Bidders' tokens, one a line; - is stdin. [made with SSE_AUCTION_SECRET]")  # fmt: skip
@click.option("--max-delivery-p99", "delivery_p99", type=click.FloatRange(0), metavar="MS", help="A bound.")
@click.option("--max-staleness-p99", "staleness_p99", type=click.FloatRange(0), metavar="MS", help="A bound.")
@click.option("--max-bid-p99", "bid_p99", type=click.FloatRange(0), metavar="MS", help="A bound.")
@click.option("--max-drops", "drops", type=click.IntRange(0), help="A bound on streams that were cut.")
@click.option("--max-errors", "errors", type=click.IntRange(0),
              help="A bound on bids without a proper answer and streams that could not be opened.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
def load(
    url: str, guids: tuple[str, ...], auctions: int, streams: int, bidders: int | None, rate: float, ramp: float,
    duration: float, token: str | None, token_file: IO[str] | None, as_json: bool, **bounds: Any,
) -> int:  # fmt: skip
    """Load-test the service at URL with streams and bidders.

    Delivery counts from the moment a bid was due until a stream shows it or a newer one; staleness from the moment
    its bidder was told. A bid that lost a race is an answer, not an error. Exit code 1 when a bound is exceeded, and
    always when a revision went back or a stream lacks the last price in the end; 130 after Ctrl-C, with the report.

    The report says when this process itself was the limit: it takes some 5,000 events a second on one core, such as
    250 streams of an auction that moves 20 times a second. For more, run several with the same --guid.
    """
    from sse_auction.load.drive import Plan, run_load  # not needed by the other commands, which start quicker so
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
    """As many tokens as there are to be bidders: the first of `file`, or made with the local secret."""
    if file is None:
        run = uuid.uuid4().hex[:8]
        number = 10 if bidders is None else bidders
        return tuple(_made_token(settings, f"load-{run}-{each}") for each in range(1, number + 1))
    tokens = tuple(filter(None, map(str.strip, file)))
    if len(tokens) < (1 if bidders is None else bidders):
        raise click.UsageError(f"--tokens has {len(tokens)} tokens, too few for {bidders or 'any'} bidders.")
    return tokens[:bidders]


# --- tokens ------------------------------------------------------------------------------------------------------


@commands.command()
@click.argument("subject")
@click.option("--role", type=click.Choice(["bidder", "operator"]), default="bidder", show_default=True)
@click.option("--name", help="A name for people.")
@click.option("--auction", "auctions", multiple=True, callback=lambda c, p, v: list(map(str, v)) or None,
              help="Good for this auction only; may be given several times.")  # fmt: skip
@click.option("--hours", type=click.IntRange(1, 24 * 366), default=24, show_default=True, help="How long it is good.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def token(subject: str, role: Any, name: str | None, auctions: list[str] | None, hours: int, as_json: bool) -> None:
    """Print a token for SUBJECT, a bidder's or operator's id."""
    tokens = Tokens(secret_of(Settings.from_environment()))
    made = tokens.issue(subject, role=role, name=name, auctions=auctions, life_seconds=hours * 3600)
    tokens.read(made)  # what the service would refuse is refused here
    click.echo(encode({"token": made, "sub": subject, "role": role}) if as_json else made)
