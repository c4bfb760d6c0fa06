"""Live maximum prices for auctions, pushed to every watcher over Server-Sent Events."""

__version__ = "0.1.0"
