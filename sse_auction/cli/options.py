"""Shared parts of the commands: common arguments and options, and the connection to the chosen service.

Options are parsed before anything is opened, so wrong usage is reported as such and needs no connection. This module
defines no command.
"""

import asyncio
import logging
import os
import pwd
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from sse_auction.auction.terms import is_guid
from sse_auction.auction.texts import MAX_BIDDER, check_text
from sse_auction.client.interface import Client
from sse_auction.client.opening import open_client
from sse_auction.settings import Settings
from sse_auction.wire import lots

_T = TypeVar("_T")


def auction_guid(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of an argument or option that names an auction."""
    if value is not None and not is_guid(value):
        raise click.BadParameter(f"{value!r} cannot name an auction: 1 to 64 of A-Z a-z 0-9 _ - are needed.")
    return value


def auction_guids(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """The callback of one that names several auctions."""
    return [str(auction_guid(context, parameter, each)) for each in values]


def parsed_by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """An option's callback that parses its text with `parse`; a ValueError becomes wrong usage."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


def _user(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """The name of the acting person: the option's value, or the user of this process."""
    if value is not None:
        check_text("--as", value, MAX_BIDDER)
        return value
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs with an arbitrary user id
        return f"user {os.getuid()}"


moment = parsed_by(lots.moment)


class AuctionCommand(click.Command):
    """A command about one auction. A guid may begin with a dash: the error message then shows how to write it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            guid = next((each for each in given if each.startswith(error.option_name) and is_guid(each)), None)
            if guid is not None:
                rest = [each.make_metavar(ctx) for each in self.params if isinstance(each, click.Argument)]
                line = " ".join([ctx.command_path, "[OPTIONS]", "--", guid, *rest[1:]])
                hint = f"If {guid} is an auction, put -- before it, and options before that: {line}"
                raise click.UsageError(f"{error.format_message()} {hint}", ctx) from None
            raise


guid_argument = click.argument("guid", callback=auction_guid)
url_option = click.option(
    "--url", envvar="SSE_AUCTION_URL", help="A service's URL. [SSE_AUCTION_URL; the store itself]"
)
token_option = click.option("--token", envvar="SSE_AUCTION_TOKEN", help="Your token for it. [SSE_AUCTION_TOKEN]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


as_option = click.option(
    "--as", "user", callback=_user, help="Your name for the log; with --url the token has it. [your user name]"
)


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the service, and --json. Without --url the command uses the store directly."""
    return url_option(token_option(json_option(command)))


def run(
    url: str | None, token: str | None, act: Callable[[Client], Coroutine[Any, Any, _T]], *,
    bidder: str = "", user: str = "",
) -> _T:  # fmt: skip
    """Run `act` with a client of the chosen service. With the store directly, `bidder` bids and `user` acts."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="sse-auction: %(message)s")

    async def connected() -> _T:
        async with open_client(url, token, Settings.from_environment(), bidder=bidder, user=user) as client:
            return await act(client)

    return asyncio.run(connected())
