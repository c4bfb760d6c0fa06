"""From "that key changed" to the viewer's socket.

Rule: a viewer gets the newest state of an auction, never a queue of old ones. `mirror` alone knows the store; nothing
here knows HTTP.

- `mirror`      reads what has changed in the store, and publishes it to the hub
- `hub`         all watched auctions of this process, and the ends of their streams
- `room`        the subscribers of one auction
- `batches`     crowds served in batches, so that other work gets its turn in between
- `wheel`       a timing wheel: many timers at the price of one
- `drain`       when a stream ends while the process drains
- `subscriber`  what one viewer still has to get, as SSE bytes or as states: a slot per auction, the newest wins
- `direct`      the same, written straight to the connection's transport
- `events`      the only place that makes the bytes of Server-Sent Events
"""
