"""The commands for an auction's log: `export` writes it, `verify` checks it, `webhooks` lists dead letters.

`verify` and `webhooks` read the store and have no --url: a service has no route for them.
"""

from contextlib import aclosing
from typing import IO, Any

import click

from sse_auction.cli.options import AuctionCommand, auction_guid, guid_argument, run, token_option, url_option
from sse_auction.client.interface import Client
from sse_auction.client.local import LocalClient
from sse_auction.store.outbox import Message
from sse_auction.wire.replies import encode


@click.command(cls=AuctionCommand)
@guid_argument
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True)
@click.option("--out", type=click.File("wb"), default="-", help="The file to write. [stdout]")
@url_option
@token_option
def export(guid: str, form: Any, out: IO[bytes], url: str | None, token: str | None) -> None:
    """Write the log of auction GUID: every bid, every operator's act. With --url, the part that the token may see."""

    async def write(client: Client) -> None:
        async with aclosing(client.export(guid, form)) as pieces:
            async for piece in pieces:
                out.write(piece)

    run(url, token, write)


@click.command(cls=AuctionCommand)
@guid_argument
def verify(guid: str) -> int:
    """Compare auction GUID in the store with its log, and print the differences."""

    async def look(client: Client) -> list[str]:
        assert isinstance(client, LocalClient)
        return await client.verify(guid)

    found = run(None, None, look)
    click.echo("\n".join(found) if found else f"auction {guid} agrees with its log")
    return 1 if found else 0


@click.command()
@click.option("--retry", callback=auction_guid, metavar="GUID", help="Send this auction's dead letters again.")
def webhooks(retry: str | None) -> None:
    """List the dead letters in the store. They are webhook messages that were not accepted, one line of JSON each."""

    async def look(client: Client) -> list[Message]:
        assert isinstance(client, LocalClient)
        return await client.dead_letters(retry)

    for message in run(None, None, look):
        click.echo(encode(message.payload()))
