"""A budget for polls: each turn of the event loop serves a limited number, and the others wait in line.

Bids are not budgeted. Polls are many and can wait: one turn serves only so many that a bid waits a few milliseconds. A
client that polls over one connection sends its next poll after the answer, so a crowd of pollers becomes slower and
not larger.
"""

import asyncio
from collections import deque


class PollBudget:
    """Lets `per_turn` requests through in each turn of the loop, in order; beyond `max_waiting` it refuses."""

    def __init__(self, per_turn: int, max_waiting: int) -> None:
        self._per_turn = per_turn
        self._max_waiting = max_waiting
        self._left = per_turn
        self._counts = False  # whether the end of this turn will be noticed
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> bool:
        """Wait in line; False at once when too many wait already."""
        if self._left and not self._waiting:
            self._left -= 1
            self._count()
            return True
        if len(self._waiting) >= self._max_waiting:
            return False
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn
        return True

    def _count(self) -> None:
        if not self._counts:
            self._counts = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._counts = False
        self._left = self._per_turn
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its request may have been cancelled
                turn.set_result(None)
                self._left -= 1
        if self._left < self._per_turn:
            self._count()
