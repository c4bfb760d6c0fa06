"""When a stream ends while its process drains: spread out, and not in the last moments of an auction. Pure."""

import random
from collections.abc import Iterable

CLOSING_MARGIN_SECONDS = 1.0  # after which every viewer has been sent that an auction is closed
QUIET_BEFORE_CLOSING_SECONDS = 30.0  # in which no stream ends: every viewer sees the hammer fall


def drain_moment(closings: Iterable[float], window_seconds: float) -> float:
    """In how many seconds to end a stream of auctions that close in `closings` seconds; within the window."""
    moment = random.random() * window_seconds
    for closing in closings:
        if not moment - CLOSING_MARGIN_SECONDS < closing < moment + QUIET_BEFORE_CLOSING_SECONDS:
            continue
        if closing + CLOSING_MARGIN_SECONDS <= window_seconds:
            moment = random.uniform(closing + CLOSING_MARGIN_SECONDS, window_seconds)
        elif closing > QUIET_BEFORE_CLOSING_SECONDS:
            moment = random.random() * (closing - QUIET_BEFORE_CLOSING_SECONDS)
    return moment
