"""The sentences for refused bids and acts: one table for HTTP and the command line."""

from dataclasses import dataclass

from sse_auction.auction.decisions import NotCreated, OperatorAction, Refused
from sse_auction.auction.state import State


@dataclass(frozen=True, slots=True)
class Rejection:
    """A request that changed nothing, for the client: a code, a sentence, and the state that is the reason.

    `reason` is the operator's reason for a void, only for that bidder; `replayed` when this repeats the first answer
    to the same request.
    """

    code: str
    detail: str
    state: State | None = None
    reason: str | None = None
    replayed: bool = False


_TEXTS = {
    "unknown": ("unknown_auction", "there is no auction {guid!r}"),
    "external": ("not_open", "auction {guid!r} is kept by another system and takes no bids or orders here"),
    "not_open": ("not_open", "auction {guid!r} is {status} and takes no bids or orders now"),
    "paused": ("not_open", "auction {guid!r} is paused and takes no bids now"),
    "own_auction": ("forbidden", "you are the seller of auction {guid!r} and cannot bid in it"),
    "voided": (
        "voided",
        "your bids in auction {guid!r} were declared void, and you cannot bid there any more{because}",
    ),
    "no_maxima": ("invalid", "auction {guid!r} takes prices, not maxima"),
    "not_for_sale": ("not_open", "auction {guid!r} cannot be bought now"),
    "lowering": ("too_low", "{offer} does not raise your maximum"),
    "too_low": ("too_low", "{offer} is too low; the next bid is {next_bid} {currency}"),
    "nothing_higher": ("too_low", "{offer} is too low, and no higher bid is possible than {leading} {currency}"),
    "too_high": ("too_high", "{offer} is more than a hundred times the next bid, {next_bid} {currency}; confirm it"),
    "not_aligned": (
        "not_aligned",
        "{offer} is not a whole number of steps above the price; the next bid is {next_bid} {currency}",
    ),
    "already_leading": ("already_leading", "you are leading this auction already, at {leading} {currency}"),
    "key_reused": ("invalid", "this Idempotency-Key was used for another bid; use a new one"),
    "already_paused": ("not_open", "auction {guid!r} is paused already"),
    "not_paused": ("not_open", "auction {guid!r} is not paused"),
    "not_later": ("invalid", "{offer} is not later than the closing time of auction {guid!r}, {closes_at}"),
    "reserve_raised": ("invalid", "the reserve of auction {guid!r} cannot be set or raised once there is a bid"),
    "no_such_bidder": ("invalid", "{offer} has no bids in auction {guid!r} that could be declared void"),
    "not_closed": ("not_closed", "auction {guid!r} is {status}; this can be done when it is over"),
    "too_late": ("too_late", "auction {guid!r} has been over for too long to be reopened, since {closes_at}"),
    "not_sold": ("not_sold", "auction {guid!r} has no winner: its outcome is {outcome}"),
    "unchanged": ("unchanged", "auction {guid!r} has this mark already"),
    "no_underbidder": ("no_underbidder", "{offer} cannot get auction {guid!r}: there is no such underbidder"),
    "below_reserve": ("below_reserve", "the commitment of {offer} in auction {guid!r} is below the reserve"),
}


_NOT_CREATED = {
    "exists": ("exists", "auction {guid!r} exists already and was not changed"),
    "held": ("exists", "auction {guid!r} is being created by another request now"),
    "past": ("invalid", "closes_at {closes_at} is not in the future: it is {now} now"),
    "key_reused": ("invalid", "this Idempotency-Key was used for another auction; use a new one"),
}


def explain_not_created(guid: str, closes_at: int, refused: NotCreated) -> Rejection:
    """The rejection for an auction that was not created."""
    code, text = _NOT_CREATED[refused.reason]
    return Rejection(code, text.format(guid=guid, closes_at=closes_at, now=refused.now))


def subject_of(act: OperatorAction) -> str:
    """The subject of an act, for sentences: a moment or a bidder."""
    if act.kind == "second_offer":
        return "the best underbidder" if act.paddle is None else f"paddle {act.paddle}"
    if act.kind == "void":
        return f"bidder {act.bidder!r}" if act.bidder is not None else f"paddle {act.paddle}"
    return f"closes_at {act.closes_at}"


def explain(guid: str, offer: str, refused: Refused) -> Rejection:
    """The rejection for a refused bid or act in auction `guid`; `offer` is its amount, moment or bidder."""
    state = refused.state
    at_top = refused.reason == "too_low" and state is not None and state.next_bid is None
    code, text = _TEXTS["nothing_higher" if at_top else refused.reason]
    detail = text.format(
        guid=guid,
        offer=offer,
        status=state.status if state else "unknown",
        next_bid=state.next_bid if state else None,
        currency=state.currency if state else None,
        leading=state.price if state else None,
        closes_at=state.closes_at if state else None,
        because=f": {refused.why}" if refused.why else "",
        outcome=state.outcome if state else None,
    )
    return Rejection(code, detail, state, refused.why, refused.replayed)
