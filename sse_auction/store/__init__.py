"""Redis or Valkey, which decides and remembers.

Rule: what must be atomic is one script in `lua/`, by the store's clock; all else is calls on one pipelined
connection. Nothing here knows of HTTP or of viewers. An answer that does not come leaves the outcome unknown:
`StoreTimeout` says so.

- `connection`, `store_connection`   calls to the store: pipelined, each with a deadline; and the one that is kept up
- `parts`        everything below, wired to one connection
- `keys`, `scripts`, `records`   the names of what is kept, the Lua files, what is read of an auction
- `clock`, `generation`   what time it is there; which unbroken memory it has
- `requirements` what a store must be
- `auctions`     creates, reads and decides (`lua/`)
- `settlement`   what time alone does to auctions
- `creating`, `batches`, `deletion`, `erasure`   what each of these takes besides
- `catalogue`    which auctions there are, by status
- `bid_log`, `check`   an auction's log, and whether it agrees with the auction
- `outbox`, `lease`   messages to other systems, and which process sends them
- `embedded`     a store of our own, for those who bring none
"""
