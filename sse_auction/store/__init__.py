"""Redis or Valkey, which decides and remembers.

Rule: each step that must be atomic is one script in `lua/`, and it uses the store's clock. Everything else is a call
on one pipelined connection. Nothing here knows HTTP or viewers. The outcome of a command is unknown when its reply
does not arrive: the call then raises `StoreTimeout`, or `StoreUnavailable` when the connection was lost.

- `connection`, `store_connection`   pipelined calls with a deadline each; the connection that is kept open
- `parts`        everything below, wired to one connection
- `keys`, `scripts`, `records`   the names of the keys, the Lua files, the fields that are read of an auction
- `clock`, `generation`   the store's clock; the name of its unbroken data
- `requirements` the conditions that a store must meet
- `auctions`     creates, reads and decides (`lua/`)
- `settlement`   opens, closes and settles auctions when their time comes
- `creating`, `batches`, `deletion`, `erasure`   operations of more than one step
- `catalogue`    the auctions by status
- `bid_log`, `check`   an auction's log, and the check that it agrees with the auction
- `outbox`, `lease`   messages to other systems, and the process that sends them
- `embedded`     a store that the service starts itself
"""
