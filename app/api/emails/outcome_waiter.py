"""Who waits for the outcome of an email, without a relay ever knowing: the store alone is asked.

It is asked once every LOOK seconds for all who wait, and not at all while nobody does.
"""

import asyncio
import sys
from collections.abc import Callable
from uuid import UUID

from app.clock import Clock
from app.frozen import frozen
from app.quota import Quota
from app.store import Store, StoreError

POLL_INTERVAL = 0.25  # seconds
MAX_WAITERS = 1000  # who may wait at once
ROOM_OF_ONE = 225  # of one API key: half of the requests that it may have under way


@frozen
class _Waiter:
    id: UUID
    until: float  # by the monotonic clock
    over: asyncio.Future[None]


class OutcomeWaiter:
    """One for the process."""

    def __init__(self, store: Store, clock: Clock, draining: Callable[[], bool]) -> None:
        self._store = store
        self._clock = clock
        self._draining = draining
        self._waiters: list[_Waiter] = []
        self._of_key = Quota(sys.maxsize, ROOM_OF_ONE)
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, id: UUID, seconds: float, key_id: UUID | None = None) -> bool:
        """Until the email is done or cancelled, the time is over, or Postern stops. False: too many wait already, in
        all or with this API key."""
        holders = () if key_id is None else (key_id,)
        if len(self._waiters) >= MAX_WAITERS or not self._of_key.take(1, holders):
            return False
        waiter = _Waiter(id, self._clock.monotonic() + seconds, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        if self._looking is None:
            self._looking = asyncio.create_task(self._poll())
        try:
            await waiter.over
        finally:
            self._of_key.give_back(1, holders)
        return True

    async def _poll(self) -> None:
        try:
            while self._waiters:
                soonest = min(waiter.until for waiter in self._waiters)
                await self._clock.sleep(min(POLL_INTERVAL, soonest - self._clock.monotonic()))
                self._release(await self._ended())
        finally:
            self._looking = None
            self._release({waiter.id for waiter in self._waiters})

    async def _ended(self) -> set[UUID]:
        """Nobody waits for a store that does not answer: its error is for the request that asks next."""
        ids = {waiter.id for waiter in self._waiters}
        try:
            return await self._store.find_ended(ids)
        except StoreError:
            return ids

    def _release(self, ended: set[UUID]) -> None:
        """Those whose wait is over; the others go on waiting."""
        now, stops = self._clock.monotonic(), self._draining()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.over.done():  # whoever waited was cancelled
                continue
            if waiter.id in ended or waiter.until <= now or stops:
                waiter.over.set_result(None)
            else:
                self._waiters.append(waiter)
