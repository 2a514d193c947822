"""What was claimed and waits for a session, in the order of the lanes. One session's turn is kept for urgent mail.

Knows neither the store nor the upstream; everything on the event loop.
"""

import asyncio
import heapq
from collections import deque
from itertools import count

from app.mail.message.message import Lane
from app.store.records import Claimed


class PrefetchBuffer:
    """A queue between one who claims and those who offer: `others` at most are out at once that are not urgent."""

    def __init__(self, non_urgent_limit: int) -> None:
        self.non_urgent_limit = non_urgent_limit
        self._waiting: list[tuple[int, int, Claimed]] = []
        self._serial = count()
        self._non_urgent_started = 0  # not urgent, and being offered
        self.total = 0  # claimed and not finished
        self.urgent = 0  # of those
        self._takers: deque[asyncio.Future[Claimed | None]] = deque()
        self._closed = False

    def put(self, claimed: Claimed) -> None:
        """It is to be offered; what is urgent first, then in this order."""
        self._count(claimed, 1)
        heapq.heappush(self._waiting, (claimed.lane.rank, next(self._serial), claimed))
        self._hand_out()

    async def take(self) -> Claimed | None:
        """The next one that may be offered; None when there is none and will be none."""
        taker: asyncio.Future[Claimed | None] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._hand_out()
        return await taker

    def attempt_ended(self, claimed: Claimed) -> None:
        """Its offer is over."""
        if claimed.lane is not Lane.URGENT:
            self._non_urgent_started -= 1
            self._hand_out()

    def remove(self, claimed: Claimed) -> None:
        """It is settled, given back, or left to whoever finds it."""
        self._count(claimed, -1)

    @property
    def has_waiting(self) -> bool:
        """True if the next one is here already."""
        return bool(self._waiting)

    def close(self) -> None:
        """Nothing more comes; what waits is handed out still, whatever its lane."""
        self._closed = True
        self._hand_out()

    def _count(self, claimed: Claimed, change: int) -> None:
        self.total += change
        self.urgent += change if claimed.lane is Lane.URGENT else 0

    def _hand_out(self) -> None:
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
