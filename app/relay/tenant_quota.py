"""Daily recipient quota of a tenant over all replicas. Each replica draws grants from the store and uses no more.

A grant counts as sent from when it is drawn, for a day plus its lifetime, so no day of the upstream can exceed the
limit. Unused recipients return to the quota when the grant ends or Postern stops.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from uuid import UUID

from app.background import run_periodically, run_until_closed
from app.clock import Clock
from app.mail.times import DAY
from app.relay.mailbox import DAILY_RESERVE_DIVISOR
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import QuotaRequest

GRANT_LIFETIME = 600.0  # seconds; an older grant is not used
POLL_INTERVAL = 1.0  # real seconds until the next request after an insufficient grant
_GRANTS_PER_DAY = 200  # a grant is this fraction of the limit


class TenantQuota:
    """Daily quota as a mailbox uses it (`DailyQuota`), by the monotonic clock. `wake` is called after each grant."""

    def __init__(self, store: Store, clock: Clock, limit: int, wake: Callable[[], None]) -> None:
        self.limit = limit
        self._store = store
        self._clock = clock
        self._wake = wake
        self._grant_size = max(1, limit // _GRANTS_PER_DAY)
        self._grant: UUID | None = None
        self._unused = 0  # granted and not begun
        self._ends_at = 0.0
        self._remaining = limit  # of the whole tenant, at the last request
        self._requested = 0
        self._refill_needed = asyncio.Event()
        self._loop = AsyncExitStack()

    @property
    def reserve(self) -> int:
        """Recipients reserved for urgent mail: the whole grant when the tenant's quota is nearly used."""
        return max(0, self.limit // DAILY_RESERVE_DIVISOR - self._remaining)

    def available(self, now: float) -> int:
        """Return how many recipients may begin now."""
        return self._unused if now < self._ends_at else 0

    def wait_time(self, now: float, weight: int = 1) -> float:
        """Return the seconds until the next check; 0 for now."""
        if self.available(now) >= min(weight, self.limit):
            return 0.0
        self._request(weight)
        return POLL_INTERVAL * self._clock.speed

    def begin(self, weight: int = 1) -> None:
        """Count recipients as under way, and request a new grant in time."""
        self._unused -= weight
        if self._unused < self._grant_size // 2:
            self._request(self._grant_size)

    def cancel(self, weight: int = 1) -> None:
        """Undo `begin`."""
        self._unused += weight

    def end(self, now: float, weight: int = 1) -> None:
        """Do nothing: the grant counts already."""

    def start(self) -> None:
        """Request the first grant."""
        self._request(self._grant_size)
        interval = GRANT_LIFETIME / self._clock.speed
        loop = run_periodically("tenant quota", self._refill, interval=interval, wake=self._refill_needed)
        run_until_closed(self._loop, loop)

    async def stop(self) -> None:
        """Return the unused recipients."""
        await self._loop.aclose()
        with suppress(StoreUnavailableError):  # then the grant counts for a day
            await self._draw(0)

    def _request(self, weight: int) -> None:
        self._requested = max(self._requested, min(weight, self.limit), self._grant_size)
        self._refill_needed.set()

    async def _refill(self) -> None:
        """Draw the requested recipients; pause after an insufficient grant."""
        wanted = self._requested
        await self._draw(wanted)
        self._requested = 0  # nothing could begin during the draw, so requests made meanwhile are the same
        self._refill_needed.clear()
        if self._unused < wanted:
            await asyncio.sleep(POLL_INTERVAL)

    async def _draw(self, amount: int) -> None:
        """Replace the current grant; its unused recipients return to the quota."""
        unused, self._unused = self._unused, 0  # none of it may begin from here on
        asked_at, speed = self._clock.monotonic(), self._clock.speed
        since, lasts = self._clock.now() - DAY, (DAY + 2 * GRANT_LIFETIME) / speed
        request, self._grant = QuotaRequest(amount, self.limit, lasts, since, self._grant, unused), None
        drawn = await self._store.replicas.draw_quota(request)  # on an unknown outcome the unused count as used
        if drawn is None:
            self._unused, self._grant = self._unused + unused, request.before
            return
        self._grant, self._remaining = drawn.id, drawn.remaining
        self._unused += drawn.recipients
        self._ends_at = asked_at + GRANT_LIFETIME
        if drawn.recipients:
            self._wake()
