"""Lifecycle of one mailbox assigned to this replica: read back what was sent, relay, release.

An assignment ends in one of three ways: given back, stopped with the process, or lost to another replica. The other
replica counts the messages under way here, so a lost assignment waits for nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app import logs
from app.background import wait
from app.clock import Clock
from app.mail.outcome.verdict import LoginMethod
from app.mail.times import DAY
from app.relay.claims import CLOCK_STEP, LEASE_SECONDS, Leases
from app.relay.mailbox import DailyQuota, Mailbox, RelayLimits
from app.relay.wakeups import PoolWakeups
from app.relay.worker import MailboxWorker
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import Acquired, MailboxRecord, SendRecord

RETRY_DELAY = 1.0  # real seconds between attempts to read the mailbox from the store


@dataclass(frozen=True, slots=True)
class MailboxSpec:
    """Configuration of a mailbox. `sessions` makes a new session pool for each assignment."""

    wakeups: PoolWakeups
    name: str
    limits: RelayLimits
    sessions: Callable[[], SessionPool]
    method: LoginMethod | None


class MailboxAssignment:
    """Mailbox that this replica owns. `run` starts it, `finish` ends it."""

    def __init__(
        self,
        spec: MailboxSpec,
        acquired: Acquired,
        store: Store,
        clock: Clock,
        leases: Leases,
        tenant: DailyQuota | None,
    ) -> None:
        self.token = acquired.token
        self.name = spec.name
        self.mailbox = Mailbox(spec.name, spec.limits, clock, tenant, spec.method)
        self.sessions = spec.sessions()
        self.worker = MailboxWorker(store, spec.wakeups, acquired.token, self.mailbox, self.sessions, leases, clock)
        self.started = asyncio.Event()
        self.leaving = False
        self._acquired = acquired
        self._store = store
        self._clock = clock
        self._ended = asyncio.Event()
        self._drain = 0.0
        self._lost = False

    def finish(self, drain: float = 0.0, *, lost: bool = False) -> None:
        """Stop claiming and wait `drain` real seconds for attempts. `lost`: another replica owns it already."""
        self.leaving = True
        self._drain, self._lost = drain, lost
        self._ended.set()

    async def run(self) -> None:
        """Run until `finish`, then release the mailbox."""
        try:
            await self._start()
            await self._ended.wait()
            await self.worker.stop(self._drain)
            if not self._lost:
                await self._store.replicas.release(self.name, self.token)
                logs.mailbox_given_back(self.name)
        except StoreUnavailableError as error:
            logs.store_failed(
                "release", error
            )  # the mailbox becomes free when this process ends or its heartbeat stops
        except Exception as error:  # a bug ends this assignment, not the others
            logs.crashed(f"assignment of {self.name}", error)

    async def _start(self) -> None:
        while not self._ended.is_set():
            try:
                self._restore(*await self._read())
                await self.worker.start()
                self.started.set()
                return
            except StoreUnavailableError as error:
                logs.store_failed("take over", error)
            await wait(self._ended, RETRY_DELAY)

    async def _read(self) -> tuple[MailboxRecord | None, list[SendRecord]]:
        since = self._clock.now() - DAY - max(self._acquired.ahead, 0.0)
        return await self._store.mailbox(self.name), await self._store.sent_since(self.name, since)

    def _restore(self, record: MailboxRecord | None, sent: list[SendRecord]) -> None:
        """Restore the condition and the sent messages, converted to the monotonic clock; none is later than now."""
        now = self._clock.monotonic()
        ahead = now - self._clock.now()
        counted = shifted(
            possibly_sent(sent, self.mailbox.limits.connections), self._clock_step(sent), self._acquired.at
        )
        self.mailbox.restore(
            record.condition if record else None, [(min(one.at + ahead, now), one.recipients) for one in counted]
        )

    def _clock_step(self, sent: Sequence[SendRecord]) -> float:
        """Return the seconds to add to the times of messages sent earlier: the clock was set ahead since,
        or the clock of the previous owner was behind.

        Then the mailbox was idle for at least as long by this clock; up to a lease less, because messages lost with
        their process are recorded at the end of their lease.
        """
        seconds, before = self._acquired.ahead, [one.at for one in sent if one.at < self._acquired.at]
        quiet = self._acquired.at - max(before, default=self._acquired.at) + LEASE_SECONDS * self._clock.speed
        if not before or not CLOCK_STEP * self._clock.speed < seconds <= quiet:
            return 0.0
        logs.clock_behind_corrected(self.name, seconds=seconds)
        return seconds


def shifted(sent: Sequence[SendRecord], seconds: float, until: float) -> list[SendRecord]:
    """Return the records; those before `until` are moved `seconds` later."""
    return [replace(one, at=one.at + seconds) if one.at < until else one for one in sent]


def possibly_sent(sent: Sequence[SendRecord], sessions: int) -> list[SendRecord]:
    """Return the messages that the upstream may have counted.

    Of the messages that a dead process had claimed and not marked, at most one per session was under way: the others
    waited for a session. Messages of one process were put back with the same timestamp.
    """
    unsure: defaultdict[float, list[SendRecord]] = defaultdict(list)
    for one in sent:
        if not one.confirmed:
            unsure[one.at].append(one)
    largest = (sorted(part, key=lambda one: -one.recipients)[:sessions] for part in unsure.values())
    return [one for one in sent if one.confirmed] + [one for part in largest for one in part]
