"""The questions, one per module; each module's docstring is its question, and `ask` answers it."""

from collections.abc import Callable, Mapping

from benchmarks.bench import Answer, Bench
from benchmarks.questions import (
    bids,
    burst,
    fairness,
    fanout,
    idle,
    memory,
    opening,
    polls,
    proxy,
    responsiveness,
    slow_link,
    stalled,
    webhooks,
)

QUESTIONS: Mapping[str, Callable[[Bench], Answer]] = {
    "fanout": fanout.ask,
    "memory": memory.ask,
    "burst": burst.ask,
    "fairness": fairness.ask,
    "slow-link": slow_link.ask,
    "stalled": stalled.ask,
    "opening": opening.ask,
    "idle": idle.ask,
    "bids": bids.ask,
    "polls": polls.ask,
    "responsiveness": responsiveness.ask,
    "proxy": proxy.ask,
    "webhooks": webhooks.ask,
}
QUICK = ("fanout", "memory", "burst", "opening", "bids", "polls")
