"""A service from Python, as the command line and the load test use it: over HTTP, or straight to the store.

- `interface`: what both offer, and their errors.
- `http`: a service elsewhere.
- `stream`: an auction's Server-Sent Events, resumed over as many connections as it takes.
- `local`: the store itself, by a service of this process.
- `opening`: which of the two it is.
"""
