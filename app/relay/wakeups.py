"""Wakeups per pool: decides which mailbox claims when there may be work. Claims nothing itself.

A hint wakes one parked mailbox of the pool; a mailbox that claimed as much as it asked for wakes the next. A message
thus costs one or two claims, not one per mailbox. An empty claim holds for all mailboxes until the next hint.
"""

import asyncio
from collections.abc import Callable

from app.background import run_periodically
from app.clock import Clock
from app.relay.mailbox import Headroom
from app.store import Store
from app.store.records import WorkHint

POLL_INTERVAL = 1.0  # real seconds: the longest wait, because hints may be lost
PARK_TIME = 0.25  # real seconds, the shortest interval between polls of the store

Wake = Callable[[], None]


class PoolWakeups:
    """Wakeups of one pool. Everything runs on the event loop; nothing awaits."""

    def __init__(self, pool: str, emptied: Wake = lambda: None) -> None:
        """`emptied` is called when nothing is due any more."""
        self.pool = pool
        self.empty = False  # a claim left no due message
        self.empty_at = 0.0  # epoch seconds
        self.next_at: float | None = None  # time of the next due message; None: none, 0: unknown
        self._no_urgent = False  # a claim left no urgent message
        self._emptied = emptied
        self._hints = 0
        self._ready: dict[Wake, None] = {}  # parked mailboxes, longest parked first
        self._ready_if_urgent: dict[Wake, None] = {}

    def hint(self, *, urgent: bool = True) -> None:
        """Note that a message may be due, perhaps an urgent one."""
        was_idle = self.empty or (urgent and self._no_urgent)
        self._hints += 1
        self.empty = False
        self._no_urgent = self._no_urgent and not urgent
        if was_idle:  # else a mailbox is claiming already
            self.wake_next()

    def may_have_work(self, headroom: Headroom) -> bool:
        """Return True if a claim with this headroom might find messages."""
        return not self.empty if headroom.non_urgent > 0 else not self._no_urgent

    def park(self, wake: Wake, headroom: Headroom) -> None:
        """Park a mailbox with this headroom until there may be work for it."""
        (self._ready if headroom.non_urgent > 0 else self._ready_if_urgent)[wake] = None

    def admit_non_urgent(self, wake: Wake) -> None:
        """Note that a mailbox that was parked for urgent messages alone now has headroom for others too."""
        if wake in self._ready_if_urgent:
            del self._ready_if_urgent[wake]
            self._ready[wake] = None

    def unpark(self, wake: Wake) -> None:
        """Remove a mailbox from the parked ones."""
        self._ready.pop(wake, None)
        self._ready_if_urgent.pop(wake, None)

    def begin_claim(self) -> int:
        """Return the number of hints before a claim, for `record_claim`."""
        return self._hints

    def record_claim(self, begun: int, now: float, headroom: Headroom, urgent: int, non_urgent: int) -> None:
        """Record the result of a claim. It may not include messages of hints received since `begun`."""
        if begun == self._hints and urgent < headroom.total:
            self._no_urgent = True
            if non_urgent < min(headroom.non_urgent, headroom.total - urgent):
                self.empty, self.empty_at, self.next_at = True, now, 0.0
                self._emptied()
        self.wake_next()

    def wake_next(self) -> None:
        """Wake the next parked mailbox that could claim more work, if there may be any."""
        ready = {} if self.empty else self._ready
        if not ready and not self._no_urgent:
            ready = self._ready_if_urgent
        if ready:
            wake = next(iter(ready))
            del ready[wake]
            wake()


class Wakeups:
    """Wakeups of all pools of this process, and a poll every second for messages without a hint."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pools: dict[str, PoolWakeups] = {}
        self._emptied = asyncio.Event()
        self._all_at = 0.0  # time of the next poll of all empty pools, by the loop's time

    def pool(self, pool: str) -> PoolWakeups:
        """Return the wakeups of a pool."""
        if pool not in self._pools:
            self._pools[pool] = PoolWakeups(pool, self._emptied.set)
        return self._pools[pool]

    def hint(self, hint: WorkHint) -> None:
        """Pass on a hint. A hint that every process received causes one poll, not a claim."""
        if not hint.from_this_process:
            self._all_at = 0.0
            self._emptied.set()
            return
        for pool_wakeups in self._pools.values() if hint.pool is None else [self.pool(hint.pool)]:
            pool_wakeups.hint(urgent=hint.urgent)

    async def watch(self) -> None:
        """Poll for messages that become due, written by any process. Runs until it is cancelled."""
        await run_periodically("due messages", self._poll, interval=POLL_INTERVAL, pause=PARK_TIME, wake=self._emptied)

    async def _poll(self) -> float:
        """Return the real seconds until the next poll."""
        time, speed = asyncio.get_running_loop().time(), self._clock.speed
        asked = self._pools_to_poll(time, self._clock.now())
        due = await self._store.next_due_times([pool_wakeups.pool for pool_wakeups in asked]) if asked else {}
        now = self._clock.now()
        for pool_wakeups in asked:
            at = pool_wakeups.next_at = due.get(pool_wakeups.pool)
            # A message that was due then and not claimed is leased by another process or expired: poll it less often.
            if (
                at is not None
                and at <= now
                and (at > pool_wakeups.empty_at or now - pool_wakeups.empty_at >= POLL_INTERVAL * speed)
            ):
                pool_wakeups.hint()
        later = (
            pool_wakeups.next_at for pool_wakeups in self._pools.values() if pool_wakeups.empty and pool_wakeups.next_at
        )
        return min([self._all_at - time, *((at - now) / speed for at in later if at > now)])

    def _pools_to_poll(self, time: float, now: float) -> list[PoolWakeups]:
        """Return the empty pools to poll: those with a due time that is unknown or past; every second all of them."""
        everything = time >= self._all_at
        if everything:
            self._all_at = time + POLL_INTERVAL
        return [
            pool_wakeups
            for pool_wakeups in self._pools.values()
            if pool_wakeups.empty and (everything or (pool_wakeups.next_at is not None and pool_wakeups.next_at <= now))
        ]
