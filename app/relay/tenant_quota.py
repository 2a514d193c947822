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
from app.relay.mailbox import OF_A_DAY
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import QuotaRequest

GRANT_LIFETIME = 600.0  # seconds: what was drawn before is not begun any more
POLL_INTERVAL = 1.0  # real seconds until the store is asked again when there was nothing
_PARTS = 200  # of the limit, drawn at once


class TenantQuota:
    """As a Window looks to a mailbox (`Day`). Times are of the monotonic clock. `wake` is told when there is more."""

    def __init__(self, store: Store, clock: Clock, limit: int, wake: Callable[[], None]) -> None:
        self.limit = limit
        self._store = store
        self._clock = clock
        self._wake = wake
        self._part = max(1, limit // _PARTS)
        self._drawn: UUID | None = None
        self._left = 0  # drawn and not begun
        self._ends_at = 0.0
        self._remaining = limit  # for everybody, when it was last asked for
        self._wanted = 0
        self._short = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def kept(self) -> int:
        """What is left here is for urgent mail alone when there is hardly more to be drawn."""
        return max(0, self.limit // OF_A_DAY - self._remaining)

    def room(self, now: float) -> int:
        """How many recipients may begin now."""
        return self._left if now < self._ends_at else 0

    def wait(self, now: float, weight: int = 1) -> float:
        """Seconds until it is worth asking again; 0 for now."""
        if self.room(now) >= min(weight, self.limit):
            return 0.0
        self._want(weight)
        return POLL_INTERVAL * self._clock.speed

    def begin(self, weight: int = 1) -> None:
        """So many are under way. It draws more in time."""
        self._left -= weight
        if self._left < self._part // 2:
            self._want(self._part)

    def cancel(self, weight: int = 1) -> None:
        """They were not begun after all."""
        self._left += weight

    def end(self, now: float, weight: int = 1) -> None:
        """They count already."""

    def start(self) -> None:
        """Draw the first ones."""
        self._want(self._part)
        self._keeper = asyncio.create_task(
            run_periodically(
                "tenant quota", self._refill, interval=GRANT_LIFETIME / self._clock.speed, wake=self._short
            )
        )

    async def stop(self) -> None:
        """Give back what is unused."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            with suppress(StoreUnavailableError):  # then it counts for a day
                await self._draw(0)

    def _want(self, weight: int) -> None:
        self._wanted = max(self._wanted, min(weight, self.limit), self._part)
        self._short.set()

    async def _refill(self) -> None:
        """Draw what is wanted; when there is less, do not ask again for a while."""
        wanted = self._wanted
        await self._draw(wanted)
        self._wanted = 0  # while it drew, nothing could begin: what was wanted meanwhile is the same
        self._short.clear()
        if self._left < wanted:
            await asyncio.sleep(POLL_INTERVAL)

    async def _draw(self, amount: int) -> None:
        """In the place of what is left, which goes back."""
        unused, self._left = self._left, 0  # nothing of it is begun from here on
        asked_at, speed = self._clock.monotonic(), self._clock.speed
        since, lasts = self._clock.now() - DAY, (DAY + 2 * GRANT_LIFETIME) / speed
        wish, self._drawn = QuotaRequest(amount, self.limit, lasts, since, self._drawn, unused), None
        drawn = await self._store.replicas.draw_quota(wish)  # if that is not known, what was left counts as used
        if drawn is None:
            self._left, self._drawn = self._left + unused, wish.before
            return
        self._drawn, self._remaining = drawn.id, drawn.remaining
        self._left += drawn.recipients
        self._ends_at = asked_at + GRANT_LIFETIME
        if drawn.recipients:
            self._wake()
