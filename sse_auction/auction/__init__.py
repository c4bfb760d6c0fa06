"""The domain: an auction, its rules and its money.

Rule: pure functions and values. Besides the standard library it imports only the table of currencies. Nothing here
does I/O, reads a clock, or knows how a state is encoded, stored or delivered. Amounts are in minor units, times in
epoch milliseconds. The store's scripts decide; this package defines their possible answers.

- `money`      amounts, currencies and their minor units
- `increments` the step to the next bid
- `terms`      the terms of one auction
- `state`      the public state of an auction at one moment
- `version`    which of two states is newer
- `decisions`  requests of bidders and operators, and their results
- `history`    the public part of a bid in the log
- `replay`, `contest`   the state that follows from an auction's log, and from its bids
- `texts`      titles, reasons, names and keys, as people write them
"""
