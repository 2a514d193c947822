"""All mailboxes of this process over one store: started, woken and stopped together, within one tenant's budget.

What belongs to one mailbox is in app/relay/worker; here is what they share: the leases, and the recipients of a day.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from app.clock import Clock
from app.mail.health import Condition
from app.relay.leases import Leases
from app.relay.mailbox import DAY, Limits, Mailbox, Spent
from app.relay.pace import Window
from app.relay.worker import Relay
from app.smtp.pool import Pool
from app.store import Store
from app.store.records import MailboxRecord


class Connections(NamedTuple):
    """How many sessions of a mailbox are in which state."""

    idle: int
    busy: int
    opening: int


class Fleet:
    """The mailboxes, by name. Add them all, then start."""

    def __init__(self, store: Store, clock: Clock, tenant_recipients_per_day: int | None = None) -> None:
        self._store = store
        self._clock = clock
        self._tenant = Window(tenant_recipients_per_day, DAY) if tenant_recipients_per_day else None
        self._leases = Leases(store, clock)
        self._relays: list[Relay] = []
        self._keeper: asyncio.Task[None] | None = None
        self._sessions: dict[str, Pool] = {}
        self.mailboxes: dict[str, Mailbox] = {}

    def add(self, pool: str, name: str, limits: Limits, sessions: Pool) -> None:
        """One more mailbox, which takes what waits in this pool."""
        mailbox = self.mailboxes[name] = Mailbox(name, limits, self._clock, self._tenant)
        self._relays.append(Relay(self._store, pool, mailbox, sessions, self._leases, self._clock))
        self._sessions[name] = sessions

    def logged_in(self, name: str) -> bool:
        """Whether a session of this mailbox stands open here."""
        return self._sessions[name].logged_in

    def slot(self, name: str) -> AbstractContextManager[bool]:
        """One of its sessions for somebody else meanwhile; False when all are in use."""
        return self._sessions[name].slot()

    def loads(self) -> dict[str, tuple[Connections, Spent]]:
        """What each mailbox does at this moment, by its name."""
        return {
            name: (Connections(*self._sessions[name].counts()), mailbox.spent())
            for name, mailbox in self.mailboxes.items()
        }

    def wake(self) -> None:
        """There may be work: only a hint."""
        for relay in self._relays:
            relay.wake()

    async def start(self) -> None:
        """Count what each mailbox sent before, then begin. Raises StoreUnavailable."""
        await self._restore()
        self._keeper = asyncio.create_task(self._leases.keep())
        for relay in self._relays:
            await relay.start()

    async def stop(self, drain: float) -> None:
        """Claim nothing more, wait `drain` real seconds for what is on its way, then cut it."""
        await asyncio.gather(*(relay.stop(drain) for relay in self._relays))
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    async def _restore(self) -> None:
        kept = {record.name: record for record in await self._store.mailboxes()}
        since, on_our_clock = self._clock.now() - DAY, self._monotonic()
        everybody: list[tuple[float, int]] = []
        for name, mailbox in self.mailboxes.items():
            sent = [(on_our_clock(one.at), one.recipients) for one in await self._store.sent_since(name, since)]
            mailbox.restore(_condition(kept.get(name)), sent)
            everybody += sent
        if self._tenant is not None:
            self._tenant.restore(everybody)

    def _monotonic(self) -> Callable[[float], float]:
        """Epoch seconds as seconds of the clock that never jumps; none is later than now."""
        now = self._clock.monotonic()
        ahead = now - self._clock.now()
        return lambda at: min(at + ahead, now)


def _condition(record: MailboxRecord | None) -> Condition | None:
    return record.condition if record else None
