"""Retention: removes contents, messages, webhook events and audit entries after their period, and frees disk space.

It works in small steps. Several processes may run it over one database; the store serialises them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from app import logs
from app.clock import Clock
from app.frozen import frozen
from app.mail.times import DAY
from app.store import Store
from app.store.retention import RetentionCutoffs

PRUNE_INTERVAL = 60.0  # real seconds between runs
MIN_PAUSE = 0.02  # real seconds between steps, or the duration of the last step if longer: mail gets half of the time
MIN_EVENT_DAYS = 4.0  # days that a webhook event is stored at least; its last attempt is after three


@frozen
class RetentionPeriods:
    """Days that data is stored: content and metadata after the end of a message, audit entries after their time."""

    content: float
    metadata: float
    audit: float = 365.0


async def remove_expired(store: Store, clock: Clock, periods: RetentionPeriods) -> None:
    """Remove everything past its retention period; each step is one commit. Raises StoreUnavailableError."""
    now = clock.now()
    cutoffs = RetentionCutoffs(
        now,
        contents=now - periods.content * DAY,
        messages=now - periods.metadata * DAY,
        events=now - max(periods.metadata, MIN_EVENT_DAYS) * DAY,
        audit=now - periods.audit * DAY,
    )
    removed = await _run_until_done(lambda: store.prune(cutoffs))
    freed = await _run_until_done(store.shrink)
    if removed or freed:
        logs.pruned(rows=removed, pages=freed)


async def _run_until_done(step: Callable[[], Awaitable[int]]) -> int:
    """Repeat `step` until it returns 0; return the sum."""
    loop, total = asyncio.get_running_loop(), 0
    started = loop.time()
    while count := await step():
        total += count
        await asyncio.sleep(max(MIN_PAUSE, loop.time() - started))
        started = loop.time()
    return total
