"""Waiter for the outcomes of emails (`Prefer: wait=N`).

It polls the store every POLL_INTERVAL for all waiting requests together, and only while there are any.
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
MAX_WAITERS = 1000  # requests that wait at the same time
MAX_WAITERS_OF_KEY = 225  # of one API key: half of its requests in progress


@frozen
class _Waiter:
    id: UUID
    until: float  # by the monotonic clock
    over: asyncio.Future[None]


class OutcomeWaiter:
    """Requests of this process that wait for an outcome."""

    def __init__(self, store: Store, clock: Clock, draining: Callable[[], bool]) -> None:
        self._store = store
        self._clock = clock
        self._draining = draining
        self._waiters: list[_Waiter] = []
        self._waiters_by_key = Quota(sys.maxsize, MAX_WAITERS_OF_KEY)
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, id: UUID, seconds: float, key_id: UUID | None = None) -> bool:
        """Wait until the email is done or cancelled, the time is over, or Postern stops. Returns False if too many
        requests wait already, in total or with this API key."""
        holders = () if key_id is None else (key_id,)
        if len(self._waiters) >= MAX_WAITERS or not self._waiters_by_key.take(1, holders):
            return False
        waiter = _Waiter(id, self._clock.monotonic() + seconds, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        if self._looking is None:
            self._looking = asyncio.create_task(self._poll())
        try:
            await waiter.over
        finally:
            self._waiters_by_key.give_back(1, holders)
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
        """Return the ended emails. If the store fails, all waits end, and the next read reports the error."""
        ids = {waiter.id for waiter in self._waiters}
        try:
            return await self._store.find_ended(ids)
        except StoreError:
            return ids

    def _release(self, ended: set[UUID]) -> None:
        """Complete the waits that are over."""
        now, stops = self._clock.monotonic(), self._draining()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.over.done():  # the request was cancelled
                continue
            if waiter.id in ended or waiter.until <= now or stops:
                waiter.over.set_result(None)
            else:
                self._waiters.append(waiter)
