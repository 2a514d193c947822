"""One mailbox in this replica's hands, from the take-over to the end: it reads back what was sent, then it relays.

A term ends in one of three ways: given back, stopped with the process, or lost to another replica, which counts
whatever was under way here; then nothing is waited for.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app import logs
from app.background import wait
from app.clock import Clock
from app.relay.front import Front
from app.relay.leases import LEASE, STEP, Leases
from app.relay.mailbox import DAY, Day, Limits, Mailbox
from app.relay.worker import Relay
from app.smtp.pool import Pool
from app.store import Store, StoreUnavailable
from app.store.records import MailboxRecord, Sent
from app.store.replica_records import Taken

AGAIN = 1.0  # real seconds until the store is asked again


@dataclass(frozen=True, slots=True)
class Berth:
    """What a mailbox needs to relay here. `sessions` makes it a pool of its own for each term."""

    front: Front
    name: str
    limits: Limits
    sessions: Callable[[], Pool]


class Term:
    """Begun by `run`, ended by `finish`."""

    def __init__(
        self, berth: Berth, taken: Taken, store: Store, clock: Clock, leases: Leases, tenant: Day | None
    ) -> None:
        self.token = taken.token
        self.name = berth.name
        self.mailbox = Mailbox(berth.name, berth.limits, clock, tenant)
        self.sessions = berth.sessions()
        self.relay = Relay(store, berth.front, taken.token, self.mailbox, self.sessions, leases, clock)
        self.begun = asyncio.Event()
        self.leaving = False
        self._taken = taken
        self._store = store
        self._clock = clock
        self._over = asyncio.Event()
        self._drain = 0.0
        self._lost = False

    def finish(self, drain: float = 0.0, *, lost: bool = False) -> None:
        """Claim nothing more, and wait `drain` real seconds for what is on its way. `lost`: it is another's already."""
        self.leaving = True
        self._drain, self._lost = drain, lost
        self._over.set()

    async def run(self) -> None:
        """To the end, when another may have it."""
        try:
            await self._begin()
            await self._over.wait()
            await self.relay.stop(self._drain)
            if not self._lost:
                await self._store.replicas.release(self.name, self.token)
                logs.mailbox_given_back(self.name)
        except StoreUnavailable as error:
            logs.store_failed("release", error)  # it is free when this process ends, or is not heard of
        except Exception as error:  # a bug costs this mailbox its term, not the others theirs
            logs.crashed(f"term of {self.name}", error)

    async def _begin(self) -> None:
        while not self._over.is_set():
            try:
                self._restore(*await self._read())
                await self.relay.start()
                self.begun.set()
                return
            except StoreUnavailable as error:
                logs.store_failed("take over", error)
            await wait(self._over, AGAIN)

    async def _read(self) -> tuple[MailboxRecord | None, list[Sent]]:
        since = self._clock.now() - DAY - max(self._taken.ahead, 0.0)
        return await self._store.mailbox(self.name), await self._store.sent_since(self.name, since)

    def _restore(self, record: MailboxRecord | None, sent: list[Sent]) -> None:
        """Where it stood, and what it has sent, by the clock that never jumps; nothing is later than now."""
        now = self._clock.monotonic()
        ahead = now - self._clock.now()
        counted = later(may_have_gone(sent, self.mailbox.limits.connections), self._step(sent), self._taken.at)
        self.mailbox.restore(
            record.condition if record else None, [(min(one.at + ahead, now), one.recipients) for one in counted]
        )

    def _step(self, sent: Sequence[Sent]) -> float:
        """The seconds by which what was sent before this term is later than it says: the clock was set ahead since, or
        the owner before had one that is behind.

        Then, by this clock, the mailbox was quiet for as long at least; up to a lease less, because of what was lost
        with its process the end of the lease is written.
        """
        seconds, before = self._taken.ahead, [one.at for one in sent if one.at < self._taken.at]
        quiet = self._taken.at - max(before, default=self._taken.at) + LEASE * self._clock.speed
        if not before or not STEP * self._clock.speed < seconds <= quiet:
            return 0.0
        logs.clock_set_ahead(self.name, seconds=seconds)
        return seconds


def later(sent: Sequence[Sent], seconds: float, until: float) -> list[Sent]:
    """The same, but what is from before `until` is so many seconds later."""
    return [replace(one, at=one.at + seconds) if one.at < until else one for one in sent]


def may_have_gone(sent: Sequence[Sent], sessions: int) -> list[Sent]:
    """What the upstream may have counted. Of what one dead process had claimed and not marked, no more were on their
    way than it had sessions: the rest waited for one. What was put back together has one moment."""
    unsure: defaultdict[float, list[Sent]] = defaultdict(list)
    for one in sent:
        if not one.sure:
            unsure[one.at].append(one)
    largest = (sorted(part, key=lambda one: -one.recipients)[:sessions] for part in unsure.values())
    return [one for one in sent if one.sure] + [one for part in largest for one in part]
