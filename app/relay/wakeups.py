"""What waits in one pool, as far as this process knows: whether it is worth a mailbox's while to look, and whose.

Where many mailboxes take from one pool, a hint is passed to one that may begin something, and from each that took as
much as it might to the next. So a message costs one claim, or two, and not one for each mailbox. Whoever found nothing
has found it for all, until the next hint. Claims nothing itself.
"""

import asyncio
from collections.abc import Callable

from app.background import run_periodically
from app.clock import Clock
from app.relay.mailbox import Headroom
from app.store import Store
from app.store.records import WorkHint

POLL_INTERVAL = 1.0  # real seconds: the longest rest, because a hint is only a hint
PARK_TIME = 0.25  # real seconds between two questions to the store at least

Wake = Callable[[], None]


class PoolWakeups:
    """One pool's. Everything on the event loop, nothing awaits."""

    def __init__(self, pool: str, emptied: Wake = lambda: None) -> None:
        """`emptied` is told when nothing is due any more."""
        self.pool = pool
        self.empty = False  # a claim has left nothing that was due
        self.empty_at = 0.0  # epoch seconds
        self.next_at: float | None = None  # when something is due next, as far as is known; 0 to be asked
        self._no_urgent = False  # a claim has left nothing urgent
        self._emptied = emptied
        self._hints = 0
        self._ready: dict[Wake, None] = {}  # those who could take something, who has rested longest first
        self._ready_if_urgent: dict[Wake, None] = {}

    def hint(self, *, urgent: bool = True) -> None:
        """Something may be due, and even `urgent`."""
        news = self.empty or (urgent and self._no_urgent)
        self._hints += 1
        self.empty = False
        self._no_urgent = self._no_urgent and not urgent
        if news:  # else somebody is at it
            self.wake_next()

    def may_have_work(self, headroom: Headroom) -> bool:
        """Whether a claim with this room might find something."""
        return not self.empty if headroom.non_urgent > 0 else not self._no_urgent

    def park(self, wake: Wake, headroom: Headroom) -> None:
        """Who has this room, and found that it is not worth it, is to be woken when it may be."""
        (self._ready if headroom.non_urgent > 0 else self._ready_if_urgent)[wake] = None

    def unpark(self, wake: Wake) -> None:
        """It rests no longer."""
        self._ready.pop(wake, None)
        self._ready_if_urgent.pop(wake, None)

    def begin_claim(self) -> int:
        """Before a claim; to be given to `learn`."""
        return self._hints

    def record_claim(self, begun: int, now: float, headroom: Headroom, urgent: int, non_urgent: int) -> None:
        """A claim that asked for so much has found so much. What was hinted at since, it need not have seen."""
        if begun == self._hints and urgent < headroom.total:
            self._no_urgent = True
            if non_urgent < min(headroom.non_urgent, headroom.total - urgent):
                self.empty, self.empty_at, self.next_at = True, now, 0.0
                self._emptied()
        self.wake_next()

    def wake_next(self) -> None:
        """If there may be more, wake the next one that could take it."""
        ready = {} if self.empty else self._ready
        if not ready and not self._no_urgent:
            ready = self._ready_if_urgent
        if ready:
            wake = next(iter(ready))
            del ready[wake]
            wake()


class Wakeups:
    """All pools of this process, and the look every second for what no hint has told of."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pools: dict[str, PoolWakeups] = {}
        self._emptied = asyncio.Event()
        self._all_at = 0.0  # when every empty pool is asked for again, by the loop's time

    def pool(self, pool: str) -> PoolWakeups:
        """The pool's."""
        if pool not in self._pools:
            self._pools[pool] = PoolWakeups(pool, self._emptied.set)
        return self._pools[pool]

    def hint(self, hint: WorkHint) -> None:
        """Something may be due there. What every process has heard is worth one look of each, and no claim."""
        if not hint.here:
            self._all_at = 0.0
            self._emptied.set()
            return
        for front in self._pools.values() if hint.pool is None else [self.pool(hint.pool)]:
            front.hint(urgent=hint.urgent)

    async def watch(self) -> None:
        """Hint at what becomes due, whichever process wrote it. To be cancelled."""
        await run_periodically("due messages", self._poll, interval=POLL_INTERVAL, pause=PARK_TIME, wake=self._emptied)

    async def _poll(self) -> float:
        """How long to rest (real seconds) before the next look."""
        time, speed = asyncio.get_running_loop().time(), self._clock.speed
        asked = self._pools_to_poll(time, self._clock.now())
        due = await self._store.next_due_times([front.pool for front in asked]) if asked else {}
        now = self._clock.now()
        for front in asked:
            at = front.next_at = due.get(front.pool)
            # What was due then and was not claimed was in another's hands, or is over its age: no use to hurry.
            if at is not None and at <= now and (at > front.empty_at or now - front.empty_at >= POLL_INTERVAL * speed):
                front.hint()
        later = (front.next_at for front in self._pools.values() if front.empty and front.next_at)
        return min([self._all_at - time, *((at - now) / speed for at in later if at > now)])

    def _pools_to_poll(self, time: float, now: float) -> list[PoolWakeups]:
        """Those of which it is not known when something is due; every second all, for what others have accepted."""
        everything = time >= self._all_at
        if everything:
            self._all_at = time + POLL_INTERVAL
        return [
            front
            for front in self._pools.values()
            if front.empty and (everything or (front.next_at is not None and front.next_at <= now))
        ]
