"""The recipients of a tenant's day, over all replicas: each draws some ahead from the store and offers to no more.

What is drawn counts as sent from that moment on, for a day and as long as it may still be used. So no day of the
upstream can hold more than the limit; what is drawn and not used goes back after a while, or when Postern stops.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from app.background import run_periodically
from app.clock import Clock
from app.mail.time_units import DAY
from app.relay.mailbox import DAILY_RESERVE_DIVISOR
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import QuotaRequest

GRANT_LIFETIME = 600.0  # seconds: what was drawn before is not begun any more
POLL_INTERVAL = 1.0  # real seconds until the store is asked again when there was nothing
_GRANTS_PER_DAY = 200  # of the limit, drawn at once


class TenantQuota:
    """As a Window looks to a mailbox (`Day`). Times are of the monotonic clock. `wake` is told when there is more."""

    def __init__(self, store: Store, clock: Clock, limit: int, wake: Callable[[], None]) -> None:
        self.limit = limit
        self._store = store
        self._clock = clock
        self._wake = wake
        self._grant_size = max(1, limit // _GRANTS_PER_DAY)
        self._grant: UUID | None = None
        self._unused = 0  # drawn and not begun
        self._ends_at = 0.0
        self._remaining = limit  # for everybody, when it was last asked for
        self._requested = 0
        self._refill_needed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def reserve(self) -> int:
        """What is left here is for urgent mail alone when there is hardly more to be drawn."""
        return max(0, self.limit // DAILY_RESERVE_DIVISOR - self._remaining)

    def available(self, now: float) -> int:
        """How many recipients may begin now."""
        return self._unused if now < self._ends_at else 0

    def wait_time(self, now: float, weight: int = 1) -> float:
        """Seconds until it is worth asking again; 0 for now."""
        if self.available(now) >= min(weight, self.limit):
            return 0.0
        self._request(weight)
        return POLL_INTERVAL * self._clock.speed

    def begin(self, weight: int = 1) -> None:
        """So many are under way. It draws more in time."""
        self._unused -= weight
        if self._unused < self._grant_size // 2:
            self._request(self._grant_size)

    def cancel(self, weight: int = 1) -> None:
        """They were not begun after all."""
        self._unused += weight

    def end(self, now: float, weight: int = 1) -> None:
        """They count already."""

    def start(self) -> None:
        """Draw the first ones."""
        self._request(self._grant_size)
        self._loop = asyncio.create_task(
            run_periodically(
                "tenant quota", self._refill, interval=GRANT_LIFETIME / self._clock.speed, wake=self._refill_needed
            )
        )

    async def stop(self) -> None:
        """Give back what is unused."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
            with suppress(StoreUnavailableError):  # then it counts for a day
                await self._draw(0)

    def _request(self, weight: int) -> None:
        self._requested = max(self._requested, min(weight, self.limit), self._grant_size)
        self._refill_needed.set()

    async def _refill(self) -> None:
        """Draw what is wanted; when there is less, do not ask again for a while."""
        wanted = self._requested
        await self._draw(wanted)
        self._requested = 0  # while it drew, nothing could begin: what was wanted meanwhile is the same
        self._refill_needed.clear()
        if self._unused < wanted:
            await asyncio.sleep(POLL_INTERVAL)

    async def _draw(self, amount: int) -> None:
        """In the place of what is left, which goes back."""
        unused, self._unused = self._unused, 0  # nothing of it is begun from here on
        asked_at, speed = self._clock.monotonic(), self._clock.speed
        since, lasts = self._clock.now() - DAY, (DAY + 2 * GRANT_LIFETIME) / speed
        wish, self._grant = QuotaRequest(amount, self.limit, lasts, since, self._grant, unused), None
        drawn = await self._store.replicas.draw_quota(wish)  # if that is not known, what was left counts as used
        if drawn is None:
            self._unused, self._grant = self._unused + unused, wish.before
            return
        self._grant, self._remaining = drawn.id, drawn.remaining
        self._unused += drawn.recipients
        self._ends_at = asked_at + GRANT_LIFETIME
        if drawn.recipients:
            self._wake()
