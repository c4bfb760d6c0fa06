"""The commands for the embedded store: `backup`, `restore` and `repair`.

They work on the data directory of this machine. Another store has its own tools for backups.
"""

from pathlib import Path

import click

from sse_auction.client.interface import ClientError
from sse_auction.settings import Settings


def _data_dir(command: str) -> Path:
    settings = Settings.from_environment()
    if settings.redis_url is not None:
        raise ClientError(
            f"{command} is for the embedded store, and REDIS_URL names another: use the tools of that store"
        )
    return settings.data_dir


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Overwrite FILE.")
def backup(file: Path, replace: bool) -> None:
    """Write a backup of the embedded store to FILE. The service may run meanwhile."""
    from sse_auction.store.embedded.backups import back_up

    data_dir = _data_dir("backup")
    if file.exists() and not replace:
        raise ClientError(f"{file} exists already; --replace overwrites it")
    auctions = back_up(data_dir, file)
    click.echo(f"{file} has {_counted(auctions)} in {file.stat().st_size} bytes")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--empty", is_flag=True, help="Start with an empty store.")
@click.option("--replace", is_flag=True, help="Replace the present data, which are kept in the data directory.")
def restore(file: Path | None, empty: bool, replace: bool) -> None:
    """Restore the backup FILE into the data directory. The store must not run."""
    from sse_auction.store.embedded.backups import restore as put_back

    if empty == (file is not None):
        raise click.UsageError("Give either a FILE or --empty.")
    data_dir = _data_dir("restore")
    auctions, kept = put_back(data_dir, file, replace=replace)
    click.echo(f"the embedded store in {data_dir} has {_counted(auctions)}")
    if kept is not None:
        click.echo(f"the old data are kept in {kept}")


@click.command()
def repair() -> None:
    """Repair a damaged log of the embedded store. It keeps the part that can be read."""
    from sse_auction.store.embedded.backups import repair as mend

    data_dir = _data_dir("repair")
    done, kept = mend(data_dir)
    for line in done or ["nothing had to be changed"]:
        click.echo(line)
    click.echo(f"the old data are kept in {kept}; check the auctions with `sse-auction verify`")


def _counted(auctions: int) -> str:
    return f"{auctions} auction{'' if auctions == 1 else 's'}"
