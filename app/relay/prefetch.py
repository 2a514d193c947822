"""Priority buffer of claimed messages between the dispatcher and the sessions; one session is reserved for urgent mail.

Accesses neither the store nor the upstream; everything runs on the event loop.
"""

import asyncio
import heapq
from collections import deque
from itertools import count

from app.mail.message.message import Lane
from app.store.records import Claimed


class PrefetchBuffer:
    """Claimed messages ordered by lane; at most `non_urgent_limit` non-urgent attempts run at a time."""

    def __init__(self, non_urgent_limit: int) -> None:
        self.non_urgent_limit = non_urgent_limit
        self._waiting: list[tuple[int, int, Claimed]] = []
        self._serial = count()
        self._non_urgent_started = 0  # attempts of non-urgent messages under way
        self.total = 0  # claimed and not removed
        self.urgent = 0  # of those
        self._takers: deque[asyncio.Future[Claimed | None]] = deque()
        self._closed = False

    def put(self, claimed: Claimed) -> None:
        """Add a message: urgent ones are taken first, others in this order."""
        self._count(claimed, 1)
        heapq.heappush(self._waiting, (claimed.lane.rank, next(self._serial), claimed))
        self._assign_waiting()

    async def take(self) -> Claimed | None:
        """Return the next message that may be attempted; None once the buffer is closed and empty."""
        taker: asyncio.Future[Claimed | None] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._assign_waiting()
        return await taker

    def attempt_ended(self, claimed: Claimed) -> None:
        """Note the end of a message's attempt."""
        if claimed.lane is not Lane.URGENT:
            self._non_urgent_started -= 1
            self._assign_waiting()

    def remove(self, claimed: Claimed) -> None:
        """Remove a message that is settled, given back, or left to recovery."""
        self._count(claimed, -1)

    @property
    def has_waiting(self) -> bool:
        """True if a message waits for a session."""
        return bool(self._waiting)

    def close(self) -> None:
        """Return the waiting messages regardless of their lane, and then None to every `take`."""
        self._closed = True
        self._assign_waiting()

    def _count(self, claimed: Claimed, change: int) -> None:
        self.total += change
        self.urgent += change if claimed.lane is Lane.URGENT else 0

    def _assign_waiting(self) -> None:
        while self._takers:
            if self._may_start():
                claimed = heapq.heappop(self._waiting)[2]
                self._non_urgent_started += claimed.lane is not Lane.URGENT
                self._takers.popleft().set_result(claimed)
            elif self._closed and not self._waiting:
                self._takers.popleft().set_result(None)
            else:
                return

    def _may_start(self) -> bool:
        if not self._waiting:
            return False
        return (
            self._closed or self._waiting[0][0] == Lane.URGENT.rank or self._non_urgent_started < self.non_urgent_limit
        )
