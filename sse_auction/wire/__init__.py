"""The JSON that clients see. It knows the domain (`auction`) and msgspec, but no store and no HTTP.

- `replies`: the JSON that clients read.
- `requests`: the JSON that clients send, and its domain values.
- `refusals`: the reasons of refusals, each a code and a sentence.
- `lots`: files of auctions to create, as CSV or lines of JSON.
- `log_export`: an auction's log as CSV or lines of JSON.
"""
