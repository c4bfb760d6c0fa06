"""The domain: an auction, its rules and its money.

Rule: pure functions and values; beside the standard library only the table of currencies. Nothing here does I/O, reads
a clock, or knows how a state is encoded, stored or delivered. Amounts are in minor units, times in epoch milliseconds.
The store's scripts decide; what they can answer stands here.

- `money`      amounts, currencies and their minor units
- `increments` by how much the next bid rises
- `terms`      what holds in one auction
- `state`      what everybody sees of it at a moment
- `version`    which of two states is newer
- `decisions`  what bidders and operators ask for, and what comes of it
- `history`    what a bid in the log tells the public
- `replay`, `contest`   the state that follows from an auction's log, and what its bids come to
- `texts`      titles, reasons, names and keys, as people write them
"""
