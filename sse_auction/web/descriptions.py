"""A description of each route in Markdown, for docs/reference.md and for /openapi.json.

Rule: text only. The shapes of requests and replies are in `openapi`.
"""

DESCRIPTIONS = {
    "GET /auctions/{guid}/stream": (
        "events of one auction; resumes after `Last-Event-ID`, `?last_event_id=` or `?lastEventId=`; 204 "
        "once the end was seen"
    ),
    "GET /auctions/stream": (
        "events of up to 50 auctions, `?guid=a&guid=b`; see [Streams of several auctions](#streams-of-several-auctions)"
    ),
    "GET /auctions/{guid}/price": (
        "the state; `If-None-Match` gives 304, `?wait=` (up to 30 s) holds the request until the state is"
        " a newer one; see [Polls](#polls)"
    ),
    "POST /auctions/{guid}/bids": (
        'bid: `{"price": "125.00"}`, in a proxy auction also `{"max": …}`, or `{"buy_now": true}`; '
        '`"confirm": true` for an amount over 100 times the next bid; `Idempotency-Key`'
    ),
    "GET /auctions/{guid}/bids": (
        "history of accepted bids: `seq`, `paddle`, `price` (what that paddle is committed to by it), "
        "`automatic`, `at`, `voided`; a bid that the leader's maximum answered has a second entry of the "
        "same `seq`, the leader's automatic bid. `?after=` a seq, `?limit=` up to 200 bids, never half a "
        "pair"
    ),
    "GET /auctions/{guid}/bids.csv": (
        "the log as a download: accepted bids, as in the history; with an operator's token everything, "
        "secrets and acts included"
    ),
    "GET /auctions/{guid}/bids.ndjson": "the same, one JSON object per line",
    "GET /auctions": (
        "managed auctions; `?status=` `all`, `upcoming`, `open`, `closed`, `cancelled`; `?after=` the "
        "`next` of the previous page, `?limit=` up to 200; see [Lists](#lists)"
    ),
    "POST /auctions": (
        "create an auction, or several, one per line; `Idempotency-Key`; see [A file of auctions](#a-file-of-auctions)"
    ),
    "GET /auctions/{guid}": ("terms (null of an external auction) and state; with an operator's token also `unpaid`"),
    "PATCH /auctions/{guid}": (
        "change `title`, `reserve`, or `closes_at` to later; requires a `reason`, like all acts"
    ),
    "POST /auctions/{guid}/cancel": "cancel the auction",
    "POST /auctions/{guid}/close": "close it now: the hammer falls",
    "POST /auctions/{guid}/extend": "move `closes_at` to later",
    "POST /auctions/{guid}/pause": "stop its clock; it takes no bids",
    "POST /auctions/{guid}/resume": "start its clock again; the closing moves by the length of the pause",
    "POST /auctions/{guid}/void": "declare all bids of a `bidder` (or `paddle`) void",
    "POST /auctions/{guid}/reopen": "open an auction that is over again, until `closes_at`",
    "POST /auctions/{guid}/second-offer": (
        "sell a lot that its winner does not take to the best underbidder, or to `paddle`"
    ),
    "POST /auctions/{guid}/unpaid": "note that the winner has not paid; only operators see it",
    "POST /auctions/{guid}/paid": "remove that note",
    "POST /auctions/{guid}/archive": "take an auction that is over out of all listings",
    "POST /auctions/{guid}/unarchive": "put it back into the listings",
    "DELETE /auctions/{guid}": (
        'delete an auction that is not open, with its log and all its other data; `{"reason": …}`, answered 204'
    ),
    "POST /bidders/erase": (
        'replace a `bidder`\'s id by pseudonyms in all auctions that are over; answers `{"auctions": 3, '
        '"still_open": […]}`. The token must be good for all auctions'
    ),
    "POST /auctions/{guid}/refresh": "read it again and push it",
    "POST /guest": "a guest's token; only with the demo",
    "GET /me/standings": (
        'how the bearer stands in up to 50 auctions, `?guid=a&guid=b`, as of now: `{"standings": […]}`, '
        "each as in a `standing` event; auctions without a bid of the bearer are left out"
    ),
    "GET /me/stream": (
        "how the bearer stands in up to 50 auctions, `?guid=a&guid=b`: `standing` events, only for the "
        "bearer. The token comes in the `Authorization` header, so browsers read it with `fetch`"
    ),
    "GET /livez": "503 when a part of the process has died",
    "GET /readyz": (
        "503 also when the store does not answer, and while the process drains; `trouble` says why. 200 "
        "with a `trouble` while the embedded store's disk is full: prices are live, and only writes are "
        "refused"
    ),
    "GET /metrics": "Prometheus; of all workers together",
    "GET /openapi.json": "OpenAPI 3.1",
    "GET /": "the page of the open lots, 50 at a time, each of them live",
    "GET /lots/{guid}": "the page of one lot",
    "GET /static/{path}": "scripts, styles, pictures; the embed",
}
