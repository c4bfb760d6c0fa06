"""The commands of operators. Each needs a reason, which the log keeps.

A command is one act with at most one further argument or option, named after the request's field. It prints the state
after the act.
"""

from collections.abc import Callable
from typing import Any

import click

from sse_auction.auction.decisions import ActionKind
from sse_auction.cli.options import (
    AuctionCommand,
    as_option,
    guid_argument,
    moment,
    run,
    service_options,
    token_option,
    url_option,
)
from sse_auction.cli.terminal import describe
from sse_auction.wire.replies import encode
from sse_auction.wire.requests import ACT_REQUESTS, EraseRequest, ReasonRequest

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _no_term(command: Callable[..., None]) -> Callable[..., None]:
    return command


def _operator_command(name: str, kind: ActionKind, summary: str, term: _Decorator = _no_term) -> click.Command:
    """A command for one act on an auction; `term` is its further argument or option."""

    @click.command(name, help=summary, cls=AuctionCommand)
    @guid_argument
    @term
    @click.option("--reason", required=True, help="Why; it is kept in the log.")
    @as_option
    @service_options
    def command(guid: str, user: str, url: str | None, token: str | None, as_json: bool, **terms: Any) -> None:
        request = ACT_REQUESTS[kind](**terms)
        made = run(url, token, lambda client: client.act(guid, kind, request), user=user)
        click.echo(encode(made) if as_json else describe(made.state))

    return command


cancel = _operator_command("cancel", "cancel", "Cancel auction GUID.")
close = _operator_command("close", "close", "Close auction GUID now: the hammer falls.")
pause = _operator_command("pause", "pause", "Stop the clock of auction GUID.")
resume = _operator_command("resume", "resume", "Start the clock of auction GUID again.")
extend = _operator_command(
    "extend", "extend", "Move the closing of auction GUID to a later time.",
    click.option("--closes", "closes_at", callback=moment, required=True, help="+90s, +10m, +2h, +3d, or epoch ms."),
)  # fmt: skip
rename = _operator_command("rename", "edit", "Give auction GUID another TITLE.", click.argument("title"))
reopen = _operator_command(
    "reopen", "reopen", "Open auction GUID again, after it is over.",
    click.option("--closes", "closes_at", callback=moment, required=True, help="+90s, +10m, +2h, +3d, or epoch ms."),
)  # fmt: skip
second_offer = _operator_command(
    "second-offer", "second_offer", "Sell the lot of auction GUID to an underbidder. Its winner does not take it.",
    click.option("--paddle", type=click.IntRange(1), help="The underbidder's paddle. [the best underbidder]"),
)  # fmt: skip
unpaid = _operator_command("unpaid", "unpaid", "Note that the winner of auction GUID has not paid.")
paid = _operator_command("paid", "paid", "Remove the note that the winner of auction GUID has not paid.")
archive = _operator_command("archive", "archive", "Remove auction GUID from all listings. It must be over.")
unarchive = _operator_command("unarchive", "unarchive", "Put auction GUID into the listings again.")
void = _operator_command("void", "void", "Declare all bids of BIDDER in auction GUID void.", click.argument("bidder"))


@click.command(cls=AuctionCommand)
@guid_argument
@click.option("--reason", required=True, help="Why; it is in the service's own log.")
@as_option
@url_option
@token_option
def delete(guid: str, reason: str, user: str, url: str | None, token: str | None) -> None:
    """Delete auction GUID with its log and all other data. It must not be open."""
    run(url, token, lambda client: client.delete(guid, ReasonRequest(reason)), user=user)
    click.echo(f"auction {guid} is deleted")


@click.command()
@click.argument("bidder")
@click.option("--reason", required=True, help="Why; it is kept in the logs.")
@as_option
@service_options
def erase(bidder: str, reason: str, user: str, url: str | None, token: str | None, as_json: bool) -> int:
    """Replace BIDDER's id by pseudonyms in all data of auctions that are over."""
    request = EraseRequest(reason=reason, bidder=bidder)
    done = run(url, token, lambda client: client.erase(request), user=user)
    click.echo(encode(done) if as_json else f"erased from {done.auctions} auction{'' if done.auctions == 1 else 's'}")
    for guid in done.still_open:
        click.echo(f"sse-auction: auction {guid} is not over; erase the bidder again when it is", err=True)
    return 1 if done.still_open else 0
