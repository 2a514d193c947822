"""What this process holds in its hands: the claimed messages, their renewal, and the return of what was dropped.

A lease runs by the clock of the host that took it, so each replica sweeps the mailboxes that it owns; what another
one had under way is put back at the take-over (app/store/takeover.py).

The same look every few seconds sees that the wall clock was set back: then what waits by it is brought forward.
"""

from uuid import UUID

from app import logs
from app.clock import Clock
from app.relay import reporting
from app.store import Store
from app.store.records import Claimed

LEASE_SECONDS = 60.0  # real seconds: how long a claim lives without renewal
CLOCK_STEP = 1.0  # real seconds by which the wall clock goes back without anybody minding
RENEW_INTERVAL = 5.0  # real seconds between renewals, and between looks for what was dropped
UNOWNED_GRACE = (
    3600.0  # seconds after which what was dropped elsewhere is picked up, if nobody owns its mailbox any more
)


class Leases:
    """Everything claimed and not yet settled, by lease."""

    def __init__(self, store: Store, clock: Clock, replica: UUID) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._held: dict[UUID, Claimed] = {}
        self._ahead: float | None = None  # the wall clock of the monotonic one, at the last look

    def expires_at(self, now: float) -> float:
        """When a lease taken or renewed `now` runs out (epoch seconds). Real time, however fast the clock runs."""
        return now + LEASE_SECONDS * self._clock.speed

    def add(self, claimed: Claimed) -> None:
        """It is ours until it is dropped."""
        self._held[claimed.lease] = claimed

    def remove(self, claimed: Claimed) -> None:
        """It is settled, given back, or left to run out."""
        self._held.pop(claimed.lease, None)

    async def advance(self) -> None:
        """Renew, check the clock, put back what was dropped. Raises StoreUnavailable."""
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
        # A new process does not know how far the clocks were apart, but the store knows how late it was.
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
