"""The JSON that clients see, with no store and no HTTP.

It knows the domain (`auction`) and msgspec.

- `replies`: what clients read.
- `requests`: what clients send, and what the domain makes of it.
- `refusals`: why something was refused, as a code and a sentence.
- `lots`: many auctions to be created, from CSV or lines of JSON.
- `log_export`: an auction's log as CSV or lines of JSON.
"""
