"""HTTP: one module per subject, each of which turns requests into calls of use cases, hub and store.

Rule: what is refused is a problem document (`problems`). Nothing here decides about an auction.

- `endpoint`, `requests`, `problems`   handlers as ASGI applications, what they all ask of a request, refusals
- `tokens`, `rate_limit`, `poll_budget`, `shared_reads`   who asks; what bounds and spares work
- `auctions`, `batches`, `operators`, `exports`   create, list, bid; files of lots; acts; the log
- `polling`, `streams`, `standings`   the price, once or as a stream; how a bidder stands
- `pages`, `operations`, `openapi`, `descriptions`   files, probes and metrics, the description of all routes
"""
