"""The mailboxes of this process over one store: which of them are its own, and what they share.

Beats are how a replica stays alive for the others, and how it sees what is free, what it has too much of and what it
has lost. A beat never waits for a mailbox: each has a task of its own (app/relay/term). What the mailboxes share is
the leases, and the recipients of a tenant's day.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4

from app import logs
from app.background import run_periodically
from app.clock import Clock
from app.relay.assignment import MailboxAssignment, MailboxSpec
from app.relay.leases import RENEW_INTERVAL, Leases
from app.relay.mailbox import Limits, LimitUsage, Mailbox
from app.relay.rebalance import rebalance
from app.relay.tenant_quota import TenantQuota
from app.relay.wakeups import POLL_INTERVAL, Wakeups
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import Acquired, ClockSkew, ClusterView, Replica
from app.store.records import WorkHint


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """Real seconds between beats, and how long a replica lives without one.

    The others see a death within `lease` + `beat`. Who could not beat himself for `deaf` does not judge others for as
    long: perhaps nobody could, and all are about to.
    """

    interval: float = 2.0
    lease: float = 10.0

    @property
    def grace(self) -> float:
        """Half a lease: two beats and more."""
        return self.lease / 2


_DATABASE_CLOCK = "database"  # the clock of its server

SINGLE_NODE = HeartbeatConfig(interval=20.0, lease=60.0)  # nobody waits for it


class Connections(NamedTuple):
    """How many sessions of a mailbox are in which state."""

    idle: int
    busy: int
    opening: int


class MailboxCoordinator:
    """The mailboxes, by name. Add them all, then start. `name` is this replica's for people.

    `alone`: nobody else relays from this database.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        name: str,
        *,
        single_node: bool,
        heartbeat: HeartbeatConfig | None = None,
        tenant_recipients_per_day: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._id, self._name = uuid4(), name
        self._heartbeat_config = heartbeat or (SINGLE_NODE if single_node else HeartbeatConfig())
        self._single_node = single_node
        limit = tenant_recipients_per_day
        self._tenant_quota = TenantQuota(store, clock, limit, self.wake) if limit else None
        self._leases = Leases(store, clock, self._id)
        self._wakeups = Wakeups(store, clock)
        self._specs: dict[str, MailboxSpec] = {}
        self._assignments: dict[str, MailboxAssignment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._heartbeat_now = asyncio.Event()
        self._stopping = False
        self._may_evict_at = 0.0  # by the loop's time
        self._last_heartbeat_at: float | None = None

    def add(self, pool: str, name: str, limits: Limits, sessions: Callable[[], SessionPool]) -> None:
        """One more mailbox, which takes what waits in this pool while it is owned here."""
        self._specs[name] = MailboxSpec(self._wakeups.pool(pool), name, limits, sessions)

    @cached_property
    def _replica(self) -> Replica:
        names = tuple(sorted(self._specs))
        serves = sha256(repr([(name, self._specs[name].wakeups.pool) for name in names]).encode()).hexdigest()
        return Replica(self._id, self._name, serves[:16], names, self._heartbeat_config.lease)

    @property
    def mailboxes(self) -> dict[str, Mailbox]:
        """Those that are owned here."""
        return {name: term.mailbox for name, term in self._assignments.items()}

    def logged_in(self, name: str) -> bool:
        """Whether a session of this mailbox stands open here."""
        return name in self._assignments and self._assignments[name].sessions.logged_in

    def reserve_slot(self, name: str) -> AbstractContextManager[bool]:
        """One of its sessions for somebody else meanwhile; False when all are in use, or in another replica's hands."""
        return self._assignments[name].sessions.reserve_slot() if name in self._assignments else nullcontext(False)

    def loads(self) -> dict[str, tuple[Connections, LimitUsage]]:
        """What each mailbox that is owned here does at this moment, by its name."""
        return {
            name: (Connections(*term.sessions.counts()), term.mailbox.usage())
            for name, term in self._assignments.items()
        }

    def hint(self, hints: Iterable[WorkHint]) -> None:
        """There may be work: only a hint."""
        for hint in hints:
            self._wakeups.hint(hint)

    def wake(self) -> None:
        """Every mailbox may do more than a moment ago."""
        for term in self._assignments.values():
            term.worker.wake()

    def hint_free_mailbox(self) -> None:
        """A mailbox may be free: only a hint."""
        self._heartbeat_now.set()

    async def start(self) -> None:
        """Own what is free, and begin. Raises StoreUnavailable when there is nobody else who could wait for it."""
        if self._tenant_quota is not None:
            self._tenant_quota.start()
        try:
            await self._heartbeat()
        except StoreUnavailableError as error:
            if self._single_node:
                raise
            logs.store_failed("heartbeat", error)
        self._loops = [
            asyncio.create_task(loop)
            for loop in (
                run_periodically("lease renewal", self._leases.advance, interval=RENEW_INTERVAL),
                run_periodically(
                    "heartbeat", self._heartbeat, interval=self._heartbeat_config.interval, wake=self._heartbeat_now
                ),
                run_periodically("operator requests", self._poll_operator_requests, interval=POLL_INTERVAL),
                self._wakeups.watch(),
            )
        ]
        await asyncio.gather(*(term.started.wait() for term in self._assignments.values()))

    async def stop(self, drain: float) -> None:
        """Claim nothing more, wait `drain` real seconds for what is on its way, then cut it; give every mailbox back.

        It goes on living meanwhile: else the others would take what is still on its way for left behind.
        """
        self._stopping = True
        for term in self._assignments.values():
            term.finish(drain)
        await asyncio.gather(*self._tasks)  # what a beat takes meanwhile ends as it begins
        for keeper in self._loops:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        await asyncio.gather(*self._tasks)
        if self._tenant_quota is not None:
            await self._tenant_quota.stop()
        with suppress(StoreUnavailableError):  # then it is not heard of
            await self._store.replicas.leave(self._id)

    async def _poll_operator_requests(self) -> None:
        """Pass on the requests of operators."""
        for name, wish in (await self._store.hold_requests()).items():
            if name in self._assignments:
                self._assignments[name].worker.request_hold(wish)

    async def _heartbeat(self) -> None:
        asked = self._clock.now()
        roll = await self._store.replicas.heartbeat(self._replica)
        judges = self._may_evict()
        mine = {one.mailbox: one.token for one in roll.owners if one.replica == self._id}
        for name, term in self._assignments.items():
            if mine.get(name) != term.token and not term.leaving:
                logs.mailbox_lost(name)
                term.finish(lost=True)
        if self._stopping:
            return
        for name in mine.keys() & self._specs.keys() - self._assignments.keys():
            self._start_assignment(Acquired(name, mine[name], asked))  # it could not be given back
        await self._rebalance(roll, self._clock_skew(roll, asked), judges=judges)

    def _clock_skew(self, roll: ClusterView, asked: float) -> ClockSkew:
        """This host's clock against the one that all replicas share, or else against this host's that is never set."""
        if roll.database_time is not None:
            return ClockSkew(_DATABASE_CLOCK, asked - roll.database_time * self._clock.speed)
        return ClockSkew(self._clock.boot, self._clock.now() - self._clock.monotonic())

    async def _rebalance(self, roll: ClusterView, reading: ClockSkew, *, judges: bool) -> None:
        leaving = {name for name, term in self._assignments.items() if term.leaving}
        part = rebalance(self._replica, roll, leaving, may_evict=judges)
        take = {*(self._specs if self._single_node else part.acquire)} - self._assignments.keys()
        for name in self._assignments.keys() & part.release:
            self._assignments[name].finish(self._heartbeat_config.lease)
        if not take:
            return
        now = self._clock.now()
        for taken in await self._store.replicas.acquire(
            self._id, sorted(take), now, reading, by_force=self._single_node
        ):
            logs.mailbox_taken(taken.mailbox, token=taken.token, left=len(taken.unfinished))
            for email, in_doubt in taken.unfinished:
                logs.reclaimed(email, in_doubt=in_doubt)
            self._start_assignment(taken)

    def _start_assignment(self, taken: Acquired) -> None:
        name = taken.mailbox
        term = MailboxAssignment(self._specs[name], taken, self._store, self._clock, self._leases, self._tenant_quota)
        self._assignments[name] = term
        if self._stopping:
            term.finish()
        task = asyncio.create_task(term.run())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end_assignment(name, task))

    def _end_assignment(self, name: str, task: asyncio.Task[None]) -> None:
        del self._assignments[name]
        self._tasks.discard(task)

    def _may_evict(self) -> bool:
        """Whether who is not heard of counts as dead: not if it is we who have heard nothing for a while."""
        now, before = asyncio.get_running_loop().time(), self._last_heartbeat_at
        self._last_heartbeat_at = now
        if before is None or now - before > self._heartbeat_config.grace:
            self._may_evict_at = now + self._heartbeat_config.grace
        return now >= self._may_evict_at
