"""Claimed messages of this process: the buffer between a mailbox's dispatcher and its sessions, and the leases.

A lease expires by the clock of the host that took it, so each replica recovers messages of the mailboxes that it owns;
messages under way in another replica are put back at the take-over (app/store/queue/recover.py).

The step that renews them detects a wall clock that was set back, and brings forward the messages that wait by it.
"""

import asyncio
import heapq
from collections import deque
from itertools import count
from uuid import UUID

from app import logs
from app.clock import Clock
from app.mail.message.message import Lane
from app.mail.times import HOUR
from app.relay.delivery import record_expired
from app.store import Store
from app.store.records import Claimed

LEASE_SECONDS = 60.0  # real seconds until a claim expires without renewal
CLOCK_STEP = 1.0  # real seconds; a smaller step of the wall clock is ignored
RENEW_INTERVAL = 5.0  # real seconds between renewals, and between sweeps for expired leases
UNOWNED_GRACE = HOUR  # seconds after which expired leases of mailboxes without an owner are recovered


class PrefetchBuffer:
    """Claimed messages of one mailbox by lane; at most `non_urgent_limit` non-urgent attempts run at a time, so that a
    session is left for urgent mail. Accesses neither the store nor the upstream; runs on the event loop.
    """

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


class Leases:
    """Claimed and unsettled messages of this process, by lease."""

    def __init__(self, store: Store, clock: Clock, replica: UUID) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._held: dict[UUID, Claimed] = {}
        self._ahead: float | None = None  # seconds, wall clock minus monotonic clock at the last step

    def expires_at(self, now: float) -> float:
        """Return when a lease taken or renewed `now` expires (epoch seconds). LEASE_SECONDS are real seconds."""
        return now + LEASE_SECONDS * self._clock.speed

    def add(self, claimed: Claimed) -> None:
        """Renew this message's lease until it is removed."""
        self._held[claimed.lease] = claimed

    def remove(self, claimed: Claimed) -> None:
        """Stop renewing: the message is settled, given back, or left to expire."""
        self._held.pop(claimed.lease, None)

    async def advance(self) -> None:
        """Renew leases, check the clock, recover expired leases. Raises StoreUnavailableError."""
        await self._renew()
        await self._check_clock()
        await self._sweep()

    async def _renew(self) -> None:
        if not self._held:
            return
        leases = list(self._held)
        kept = await self._store.renew(leases, self.expires_at(self._clock.now()))
        for lease in leases:
            if lease not in kept and (lost := self._held.get(lease)):
                logs.lease_lost(lost.id, mailbox=lost.mailbox, where="at renewal")

    async def _check_clock(self) -> None:
        now = self._clock.now()
        ahead = now - self._clock.monotonic()
        # A new process does not know the earlier difference of the clocks, but the store has the latest timestamp.
        back = (await self._store.latest_timestamp() or now) - now if self._ahead is None else self._ahead - ahead
        if back > CLOCK_STEP * self._clock.speed:
            emails = await self._store.apply_clock_change(now, self.expires_at(now))
            logs.clock_set_back(seconds=back, emails=emails)
        self._ahead = ahead

    async def _sweep(self) -> None:
        now = self._clock.now()
        mine = await self._store.recover(now, owner=self._replica)
        for email, in_doubt in mine + await self._store.recover(now, grace=UNOWNED_GRACE):
            logs.reclaimed(email, in_doubt=in_doubt)
        for email in await self._store.expire(now):
            record_expired(email)
