"""The commands of sellers, bidders and watchers: `create`, `bid`, `price`, `watch`.

A command makes the same request as HTTP, and sends it to a service or directly to the store. They decide what an
auction allows; this module only reports wrong usage.
"""

import sys
from contextlib import aclosing
from hashlib import blake2s
from pathlib import Path
from typing import Any

import click

from sse_auction.auction.texts import check_key
from sse_auction.cli.options import (
    AuctionCommand,
    as_option,
    auction_guid,
    guid_argument,
    moment,
    parsed_by,
    run,
    service_options,
)
from sse_auction.cli.terminal import describe, progress, show_live
from sse_auction.client.interface import Client, ClientError, CreatedAll, NothingCreated
from sse_auction.settings import Settings
from sse_auction.wire import lots
from sse_auction.wire.replies import encode
from sse_auction.wire.requests import BidRequest, CreateRequest


def _checked_key(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        check_key(value)
    return value


@click.command()
@click.argument("title", required=False)
@click.option("--from", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A file of auctions instead, .csv or .ndjson: all of them are created, or none.")  # fmt: skip
@click.option("--start-price", help="The lowest first bid, such as 10.00.")
@click.option("--closes", "closes_at", callback=moment, help="+90s, +10m, +2h, +3d, or epoch ms.")
@click.option("--opens", "opens_at", callback=moment, help="The same. [at once]")
@click.option("--currency", default="", help="ISO 4217 code. [SSE_AUCTION_CURRENCY, CNY]")
@click.option(
    "--increments", default="flat:1", show_default=True, callback=parsed_by(lots.increments),
    help="flat:N, ten-percent, ebay-us, yahoo-jp, or a table such as 0:1.00,100:5.00.",
)  # fmt: skip
@click.option("--guid", callback=auction_guid, help="The auction's name in URLs and keys. [a UUID]")
@click.option("--seller", help="The seller's id as a bidder; the seller must not bid.")
@click.option("--bidding", type=click.Choice(["manual", "proxy"]), default="manual", show_default=True,
              help="Whether a bid is its price, or a secret maximum.")  # fmt: skip
@click.option("--aligned", is_flag=True, help="Bids must be a whole number of steps above the price.")
@click.option("--reserve", help="The lowest price at which the lot is sold; it is secret.")
@click.option("--buy-now", callback=parsed_by(lots.buy_now),
              help="A buy-now price, valid until the first bid; with :ceiling any bid of it or more buys.")  # fmt: skip
@click.option("--soft-close", default="usual", show_default=True, callback=parsed_by(lots.soft_close),
              help="usual (120 s), live (30 s), judicial (300 s), WINDOW:EXTEND in seconds, or none.")  # fmt: skip
@click.option("--hard-close", "hard_close_at", callback=moment, help="The latest closing that extensions can reach.")
@click.option("--max-extensions", type=click.IntRange(0), help="The maximum number of extensions.")
@click.option(
    "--priority", multiple=True, callback=lambda c, p, v: list(v), help="A bidder's id that wins ties; repeatable."
)
@click.option("--key", callback=_checked_key,
              help="Idempotency key: the same auction sent again with it is created once.")  # fmt: skip
@as_option
@service_options
@click.pass_context
def create(
    context: click.Context, /, title: str | None, file: Path | None, guid: str | None, key: str | None, user: str,
    url: str | None, token: str | None, as_json: bool, **terms: Any,
) -> None:  # fmt: skip
    """Create an auction with TITLE, or all those of a file."""
    if file is not None:
        given = [name for name in ("title", "guid", *terms) if _is_given(context, name)]
        if given:
            raise click.UsageError(f"--from takes all terms from the file, so leave out {', '.join(given)}.")
        _create_all(file, key, url, token, user, as_json)
        return
    missing = {"TITLE": title, "--start-price": terms["start_price"], "--closes": terms["closes_at"]}
    if absent := [name for name, value in missing.items() if value is None]:
        raise click.UsageError(f"Missing {', '.join(absent)}; or give a file with --from.")
    request = CreateRequest(title=title or "", **terms)
    made = run(url, token, lambda client: client.create(request, guid, key), user=user)
    click.echo(encode(made) if as_json else f"{made.state.guid}  {describe(made.state)}")


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _create_all(file: Path, key: str | None, url: str | None, token: str | None, user: str, as_json: bool) -> None:
    data, wanted = _read(file)
    key = key or f"file-{blake2s(data).hexdigest()}"

    async def make(client: Client) -> CreatedAll:
        with progress(len(wanted)) as advance:
            return await client.create_all(wanted, key, advance)

    try:
        done = run(url, token, make, user=user)
    except NothingCreated as error:
        raise ClientError(f"{file} cannot be taken, and nothing was created:\n{error}") from None
    for made in done.made:
        click.echo(encode(made) if as_json else f"{made.state.guid}  {describe(made.state)}")
    if done.before:
        click.echo(
            f"sse-auction: {file} was created before, and nothing new was created; use --key to create it again",
            err=True,
        )
    if done.missing:
        raise ClientError(f"all but {len(done.missing)} were created: {'; '.join(done.missing)}")


def _read(file: Path) -> tuple[bytes, list[lots.Lot]]:
    """(the bytes of a file, its auctions)."""
    kind = file.suffix.lower()
    if kind not in (".csv", ".ndjson"):
        raise click.UsageError(f"{file.name} is neither .csv nor .ndjson.")
    try:
        data = file.read_bytes()
        currency = Settings.from_environment().currency
        return data, lots.read_lots(lots.read_text(data), is_csv=kind == ".csv", currency=currency)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from None
    except lots.WrongEncoding as error:
        raise ClientError(f"{file} cannot be taken, and nothing was created: {error}; save it as UTF-8") from None
    except lots.WrongLots as error:
        raise ClientError(f"{file} cannot be taken, and nothing was created:\n{error}") from None


@click.command(cls=AuctionCommand)
@guid_argument
@click.argument("price", required=False)
@click.option("--max", "maximum", help="In a proxy auction: your secret maximum.")
@click.option("--buy-now", is_flag=True, help="Buy at the buy-now price.")
@click.option("--bidder", help="The bidder's id, when there is no --url; with --url the token has it.")
@click.option("--confirm", is_flag=True, help="Confirm an amount over a hundred times the next bid.")
@click.option("--key", callback=_checked_key, help="Idempotency key: the same bid sent again with it counts once.")
@service_options
def bid(
    guid: str, price: str | None, maximum: str | None, buy_now: bool, bidder: str | None, confirm: bool,
    key: str | None, url: str | None, token: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Bid PRICE (or --max, or --buy-now) in auction GUID."""
    if url is None and not bidder:
        raise click.UsageError("Say who bids with --bidder, or where the service is with --url.")
    request = BidRequest(price=price, max=maximum, buy_now=buy_now, confirm=confirm)
    made = run(url, token, lambda client: client.bid(guid, request, key), bidder=bidder or "")
    text = f"accepted as bid {made.seq}, paddle {made.paddle}, {made.standing}: {describe(made.state)}"
    click.echo(encode(made) if as_json else text)


@click.command(cls=AuctionCommand)
@guid_argument
@service_options
def price(guid: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Print the state of auction GUID once."""
    state = run(url, token, lambda client: client.price(guid))
    click.echo(encode(state) if as_json else describe(state))


@click.command(cls=AuctionCommand)
@guid_argument
@service_options
def watch(guid: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Follow auction GUID live until it ends or you press Ctrl-C.

    With --json, or when the output is not a terminal, it prints one line per state.
    """

    async def follow(client: Client) -> None:
        async with aclosing(client.watch(guid)) as states:
            if sys.stdout.isatty() and not as_json:
                await show_live(states)
                return
            last = ""
            async for state in states:
                if state is None and not as_json:
                    click.echo("not live")
                elif state is not None and not (as_json and state.tag == last):
                    last = state.tag
                    click.echo(encode(state) if as_json else describe(state))

    run(url, token, follow)
