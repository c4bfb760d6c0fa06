"""The commands for the service: `serve` runs it, `token` makes its tokens.

The server is imported only when it runs: it imports all of HTTP, and the other commands start faster without it.
"""

import asyncio
import logging.config
import os
from typing import Any

import click

from sse_auction.cli.options import auction_guids, json_option
from sse_auction.client.interface import ClientError
from sse_auction.settings import Settings
from sse_auction.web.tokens import Tokens, secret_of
from sse_auction.wire.replies import encode


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one. [PORT, 8000]")
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes. [WEB_CONCURRENCY, 1]")
@click.option("--demo", is_flag=True, help="Seed a few lots with house bidders, and let visitors bid as guests.")
def serve(host: str, port: int | None, workers: int | None, demo: bool) -> int:
    """Serve pages, streams, polls and bids until stopped by Ctrl-C or SIGTERM."""
    from sse_auction.lifecycle import store_url
    from sse_auction.logs import configuration
    from sse_auction.server import serve as run_server
    from sse_auction.store.requirements import check_store

    overrides = {"PORT": port, "WEB_CONCURRENCY": workers, "SSE_AUCTION_DEMO": "1" if demo else None}
    for variable, value in overrides.items():
        if value is not None:
            os.environ[variable] = str(value)  # worker processes read the environment too
    settings = Settings.from_environment()
    logging.config.dictConfig(configuration())  # the store may log before the server starts
    secret_of(settings)  # here, so that an error is shown once and not by every worker
    try:
        with store_url(settings) as url:
            asyncio.run(check_store(url, settings.store_timeout_seconds))
            return run_server(settings, host)
    except OSError as error:
        raise ClientError(f"cannot listen on {host} port {settings.port}: {error.strerror}") from None


@click.command()
@click.argument("subject")
@click.option("--role", type=click.Choice(["bidder", "operator"]), default="bidder", show_default=True)
@click.option("--name", help="A name to display.")
@click.option("--auction", "auctions", multiple=True, callback=lambda c, p, v: auction_guids(c, p, v) or None,
              help="Valid for this auction only; may be given several times.")  # fmt: skip
@click.option("--hours", type=click.IntRange(1, 24 * 366), default=24, show_default=True, help="Its life in hours.")
@json_option
def token(subject: str, role: Any, name: str | None, auctions: list[str] | None, hours: int, as_json: bool) -> None:
    """Print a token for SUBJECT, a bidder's or operator's id."""
    tokens = Tokens(secret_of(Settings.from_environment()))
    made = tokens.issue(subject, role=role, name=name, auctions=auctions, life_seconds=hours * 3600)
    tokens.read(made)  # a token that the service would refuse is refused here
    click.echo(encode({"token": made, "sub": subject, "role": role}) if as_json else made)
