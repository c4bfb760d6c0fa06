"""A budget for one kind of request: so many go on in each turn of the event loop, and the rest waits in line.

Bids are not budgeted. Of polls, which are many and can wait, a turn serves no more than would keep a
bid waiting for some milliseconds; whoever polls over one connection asks again only when he was answered, so a crowd
of pollers becomes slower instead of more.
"""

import asyncio
from collections import deque


class PollBudget:
    """Lets `per_turn` through in a turn of the loop, in order; beyond `max_waiting` it turns away."""

    def __init__(self, per_turn: int, max_waiting: int) -> None:
        self._per_turn = per_turn
        self._max_waiting = max_waiting
        self._left = per_turn
        self._counts = False  # whether the end of this turn will be noticed
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> bool:
        """Wait for one's turn; False at once when too many wait already."""
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
            if not turn.done():  # its request may have been given up
                turn.set_result(None)
                self._left -= 1
        if self._left < self._per_turn:
            self._count()
