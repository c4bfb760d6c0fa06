"""From "that key changed" to the viewer's socket.

Rule: a viewer gets the newest state of an auction, never a queue of old ones. `mirror` alone knows the store; nothing
here knows HTTP.

- `mirror`      reads what has changed in the store, and publishes it to the hub
- `hub`         all watched auctions of this process, their timers and their ends
- `room`        the subscribers of one auction
- `subscriber`  what one viewer has still to get: a slot per auction, the newest wins
- `direct`      the same, written straight to the connection's transport
"""
