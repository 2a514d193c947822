"""Leases of this process's claimed messages: renewal, recovery of expired ones, and end of messages past their expiry.

A lease expires by the clock of the host that took it, so each replica recovers messages of the mailboxes that it owns;
messages under way in another replica are put back at the take-over (app/store/queue/takeover.py).

The same step detects a wall clock that was set back, and brings forward the messages that wait by it.
"""

from uuid import UUID

from app import logs
from app.clock import Clock
from app.mail.times import HOUR
from app.relay import reporting
from app.store import Store
from app.store.records import Claimed

LEASE_SECONDS = 60.0  # real seconds until a claim expires without renewal
CLOCK_STEP = 1.0  # real seconds; a smaller step of the wall clock is ignored
RENEW_INTERVAL = 5.0  # real seconds between renewals, and between sweeps for expired leases
UNOWNED_GRACE = HOUR  # seconds after which expired leases of mailboxes without an owner are recovered


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
            reporting.record_expired(email)
