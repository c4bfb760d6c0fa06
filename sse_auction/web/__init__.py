"""HTTP: one module per subject, which turns requests into calls of use cases, hub and store.

Rule: every refusal is a problem document (`problems`). Nothing here decides about an auction.

- `endpoint`, `requests`, `problems`   handlers as ASGI applications; the parts of a request; problem documents
- `tokens`, `rate_limit`, `poll_budget`, `shared_reads`   identity of the client; limits; reads shared by requests
- `auctions`, `batches`, `operators`, `exports`   create, list, bid; files of lots; acts; the log
- `polling`, `streams`, `standings`   the price, once or as a stream; a bidder's standings
- `pages`, `operations`, `openapi`, `descriptions`   files, probes and metrics, the description of all routes
"""
