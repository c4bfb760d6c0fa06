"""Redis or Valkey, which decides and remembers.

Rule: what must be atomic is one script in `lua/`, by the store's clock; all else is calls on one pipelined
connection. Nothing here knows of HTTP or of viewers. An answer that does not come leaves the outcome unknown:
`StoreTimeout` says so.

- `connection`   calls to the store: pipelined, each with a deadline; pushed invalidations
- `keys`         the names of everything that is kept
- `clock`        what time it is there, by what it has said; and which unbroken memory it has
- `auctions`     creates, reads and decides (`lua/`)
- `creating`, `deletion`, `erasure`   what each of these takes besides
- `catalogue`    which auctions there are, by status
- `bid_history`, `check`   an auction's log: a page of it, and whether it agrees with the auction
- `outbox`, `lease`   messages to other systems, and which process sends them
- `embedded`     a store of our own, for those who bring none
"""
