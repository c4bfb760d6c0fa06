"""The command `sse-auction`. Every error is one sentence on stderr and exit code 1; wrong usage is exit code 2.

One module per subject has its commands and knows no other subject: `serving`, `auctions`, `operators`, `log`,
`embedded`, `load`. They share `options`. This module makes one command line of them, and exit codes of their errors.
"""

import os
import sys

import click

from sse_auction import __version__
from sse_auction.auction.texts import WrongText
from sse_auction.cli import auctions, embedded, load, log, operators, serving
from sse_auction.client.interface import ClientError
from sse_auction.settings import SettingsError
from sse_auction.store.connection import StoreError
from sse_auction.web.tokens import InvalidToken


def main() -> None:
    """Run the command line."""
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (SettingsError, StoreError, ClientError, InvalidToken, WrongText) as error:
        click.echo(f"sse-auction: {error}", err=True)
        sys.exit(1)
    except UnicodeEncodeError as error:  # bytes on the command line that are not UTF-8 become lone surrogates
        click.echo(f"sse-auction: {error.object!r} cannot be sent: {error.reason}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output is gone, as in `... | head`
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


for _command in (
    serving.serve, serving.token,
    auctions.create, auctions.bid, auctions.price, auctions.watch,
    operators.cancel, operators.close, operators.pause, operators.resume,
    operators.extend, operators.rename, operators.void,
    operators.reopen, operators.second_offer, operators.unpaid, operators.paid, operators.archive, operators.unarchive,
    operators.delete, operators.erase,
    log.export, log.verify, log.webhooks,
    embedded.backup, embedded.restore, embedded.repair,
    load.load,
):  # fmt: skip
    commands.add_command(_command)
