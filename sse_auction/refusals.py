"""Why a bid was refused, in words: one table for HTTP and the command line."""

from sse_auction.store import Refused

_TEXTS = {
    "unknown": ("unknown_auction", "there is no auction {guid!r}"),
    "plain": ("not_open", "auction {guid!r} is kept by another system and takes no bids here"),
    "not_open": ("not_open", "auction {guid!r} is {status} and takes no bids now"),
    "own_auction": ("forbidden", "you are the seller of auction {guid!r} and cannot bid in it"),
    "too_low": ("too_low", "{price} is too low; the next bid is {next_bid} {currency}"),
    "too_high": (
        "too_high",
        "{price} is more than a hundred times the next bid, {next_bid} {currency}; confirm it",
    ),
    "already_leading": ("already_leading", "you are leading this auction already, at {leading} {currency}"),
    "key_reused": ("invalid", "this Idempotency-Key was used for another bid; use a new one"),
}


def explain(guid: str, price: str, refused: Refused) -> tuple[str, str]:
    """(code, sentence) for a refused bid of `price` in auction `guid`."""
    code, text = _TEXTS[refused.reason]
    state = refused.state
    return code, text.format(
        guid=guid,
        price=price,
        status=state.status if state else "unknown",
        next_bid=state.next_bid if state else None,
        currency=state.currency if state else None,
        leading=state.price if state else None,
    )
