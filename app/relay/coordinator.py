"""Coordinator of this process's mailboxes: membership by heartbeats, assignment of mailboxes, shared leases and quota.

A heartbeat keeps this replica's lease and reads which mailboxes are free, in excess, or lost. It never waits for a
mailbox: each assignment has its own task (app/relay/assignment.py).
"""

import asyncio
from collections.abc import Callable, Set
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4

from app import logs
from app.background import run_periodically, run_until_closed
from app.clock import Clock
from app.mail.outcome.verdict import LoginMethod
from app.relay.assignment import MailboxAssignment, MailboxSpec
from app.relay.claims import RENEW_INTERVAL, Leases
from app.relay.mailbox import LimitUsage, Mailbox, RelayLimits
from app.relay.tenant_quota import TenantQuota
from app.relay.wakeups import POLL_INTERVAL, Wakeups
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import Acquired, ClockSkew, ClusterView, Replica


@dataclass(frozen=True, slots=True)
class HeartbeatConfig:
    """Real seconds between heartbeats, and until a replica without one counts as dead.

    Other replicas detect a death within `lease` + `interval`. A replica that missed its own heartbeat for `grace`
    seconds waits that long before it evicts others: after a database outage every lease has expired.
    """

    interval: float = 2.0
    lease: float = 10.0

    @property
    def grace(self) -> float:
        """Half a lease, more than two heartbeats."""
        return self.lease / 2


_DATABASE_CLOCK = "database"  # name of the database server's clock

SINGLE_NODE = HeartbeatConfig(interval=20.0, lease=60.0)  # no other replica waits for its mailboxes


class Connections(NamedTuple):
    """Number of a mailbox's sessions by state."""

    idle: int
    busy: int
    opening: int


class MailboxCoordinator:
    """Mailboxes of this replica. Add all, then start. `name` identifies the replica to operators.

    `single_node`: no other process relays from this database.
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
        self._loops = AsyncExitStack()
        self._heartbeat_now = asyncio.Event()
        self._stopping = False
        self._may_evict_at = 0.0  # by the loop's time
        self._last_heartbeat_at: float | None = None

    def add(
        self,
        pool: str,
        name: str,
        limits: RelayLimits,
        sessions: Callable[[], SessionPool],
        method: LoginMethod | None = None,
    ) -> None:
        """Add a mailbox; it claims from this pool while this replica owns it. `method` selects fixes of its login."""
        self._specs[name] = MailboxSpec(self._wakeups.pool(pool), name, limits, sessions, method)

    @cached_property
    def _replica(self) -> Replica:
        names = tuple(sorted(self._specs))
        serves = sha256(repr([(name, self._specs[name].wakeups.pool) for name in names]).encode()).hexdigest()
        return Replica(self._id, self._name, serves[:16], names, self._heartbeat_config.lease)

    @property
    def mailboxes(self) -> dict[str, Mailbox]:
        """Mailboxes that this replica owns, by name."""
        return {name: assignment.mailbox for name, assignment in self._assignments.items()}

    def logged_in(self, name: str) -> bool:
        """Return True if a session of this mailbox is open here."""
        return name in self._assignments and self._assignments[name].sessions.logged_in

    def reserve_slot(self, name: str) -> AbstractContextManager[bool]:
        """Reserve a session slot for a check; False if all are in use or another replica owns the mailbox."""
        return self._assignments[name].sessions.reserve_slot() if name in self._assignments else nullcontext(False)

    def loads(self) -> dict[str, tuple[Connections, LimitUsage]]:
        """Return the current load of each mailbox that this replica owns, by name."""
        return {
            name: (Connections(*assignment.sessions.counts()), assignment.mailbox.usage())
            for name, assignment in self._assignments.items()
        }

    def wake(self) -> None:
        """Wake all mailboxes, because a shared limit has grown."""
        for assignment in self._assignments.values():
            assignment.worker.wake()

    async def start(self) -> None:
        """Acquire free mailboxes and start them. On a single node it raises StoreUnavailableError."""
        self._store.listen(self._wakeups.hint, self._heartbeat_now.set)  # a mailbox may be free: the next heartbeat now
        if self._tenant_quota is not None:
            self._tenant_quota.start()
        try:
            await self._heartbeat()
        except StoreUnavailableError as error:
            if self._single_node:
                raise
            logs.store_failed("heartbeat", error)
        for loop in (
            run_periodically("lease renewal", self._leases.advance, interval=RENEW_INTERVAL),
            run_periodically(
                "heartbeat", self._heartbeat, interval=self._heartbeat_config.interval, wake=self._heartbeat_now
            ),
            run_periodically("operator requests", self._poll_operator_requests, interval=POLL_INTERVAL),
            self._wakeups.watch(),
        ):
            run_until_closed(self._loops, loop)
        await asyncio.gather(*(assignment.started.wait() for assignment in self._assignments.values()))

    async def stop(self, drain: float) -> None:
        """Stop claiming, wait `drain` real seconds for attempts under way before aborting them, release every mailbox.

        Heartbeats continue meanwhile: else other replicas would treat attempts under way as abandoned.
        """
        self._stopping = True
        for assignment in self._assignments.values():
            assignment.finish(drain)
        await asyncio.gather(*self._tasks)  # an assignment that a heartbeat starts meanwhile ends immediately
        await self._loops.aclose()
        await asyncio.gather(*self._tasks)
        if self._tenant_quota is not None:
            await self._tenant_quota.stop()
        with suppress(StoreUnavailableError):  # then its lease expires
            await self._store.replicas.leave(self._id)

    async def _poll_operator_requests(self) -> None:
        """Pass on the requests of operators."""
        for name, request in (await self._store.hold_requests()).items():
            if name in self._assignments:
                self._assignments[name].worker.request_hold(request)

    async def _heartbeat(self) -> None:
        asked_at = self._clock.now()
        view = await self._store.replicas.heartbeat(self._replica)
        may_evict = self._may_evict()
        mine = {one.mailbox: one.token for one in view.owners if one.replica == self._id}
        for name, assignment in self._assignments.items():
            if mine.get(name) != assignment.token and not assignment.leaving:
                logs.mailbox_lost(name)
                assignment.finish(lost=True)
        if self._stopping:
            return
        for name in mine.keys() & self._specs.keys() - self._assignments.keys():
            self._start_assignment(Acquired(name, mine[name], asked_at))  # its release failed
        await self._rebalance(view, self._clock_skew(view, asked_at), may_evict=may_evict)

    def _clock_skew(self, view: ClusterView, asked_at: float) -> ClockSkew:
        """Return this host's wall clock against the database server's, or else against the host's monotonic clock."""
        if view.database_time is not None:
            return ClockSkew(_DATABASE_CLOCK, asked_at - view.database_time * self._clock.speed)
        return ClockSkew(self._clock.boot, self._clock.now() - self._clock.monotonic())

    async def _rebalance(self, view: ClusterView, skew: ClockSkew, *, may_evict: bool) -> None:
        leaving = {name for name, assignment in self._assignments.items() if assignment.leaving}
        changes = rebalance(self._replica, view, leaving, may_evict=may_evict)
        take = {*(self._specs if self._single_node else changes.acquire)} - self._assignments.keys()
        for name in self._assignments.keys() & changes.release:
            self._assignments[name].finish(self._heartbeat_config.lease)
        if not take:
            return
        now = self._clock.now()
        for acquired in await self._store.replicas.acquire(
            self._id, sorted(take), now, skew, by_force=self._single_node
        ):
            logs.mailbox_taken(acquired.mailbox, token=acquired.token, left=len(acquired.unfinished))
            for email, in_doubt in acquired.unfinished:
                logs.reclaimed(email, in_doubt=in_doubt)
            self._start_assignment(acquired)

    def _start_assignment(self, acquired: Acquired) -> None:
        name = acquired.mailbox
        assignment = MailboxAssignment(
            self._specs[name], acquired, self._store, self._clock, self._leases, self._tenant_quota
        )
        self._assignments[name] = assignment
        if self._stopping:
            assignment.finish()
        task = asyncio.create_task(assignment.run())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end_assignment(name, task))

    def _end_assignment(self, name: str, task: asyncio.Task[None]) -> None:
        del self._assignments[name]
        self._tasks.discard(task)

    def _may_evict(self) -> bool:
        """Return True if replicas without a heartbeat count as dead: not after this replica missed its own."""
        now, before = asyncio.get_running_loop().time(), self._last_heartbeat_at
        self._last_heartbeat_at = now
        if before is None or now - before > self._heartbeat_config.grace:
            self._may_evict_at = now + self._heartbeat_config.grace
        return now >= self._may_evict_at


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Names of the mailboxes to acquire and to release."""

    acquire: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def rebalance(me: Replica, view: ClusterView, leaving: Set[str] = frozenset(), *, may_evict: bool = True) -> Rebalance:
    """Return the changes for this replica. `leaving` are mailboxes that it is already giving back.

    A free mailbox goes to the replica with the fewest. A replica that has at least two more than another gives back its
    whole excess in one step: each mailbox pauses for some seconds, and it does not matter when. A difference of one is
    left as it is, so that a balanced set does not change. Each replica computes the same result from the same rows.

    Without `may_evict` it acquires only mailboxes without an owner, and none of a replica without a heartbeat.
    """
    peers = {id for id, serves in view.replicas.items() if serves == me.serves}
    served = {*me.mailboxes}
    owners = [owner for owner in view.owners if owner.mailbox in served]
    owned = {peer: sum(owner.replica == peer for owner in owners) for peer in peers}
    owned[me.id] = owned.get(me.id, 0) - len(leaving)
    acquire = []
    for owner in owners:
        if owner.replica in view.replicas or (owner.replica is not None and not may_evict):
            continue
        smallest = min(owned, key=lambda peer: (owned[peer], peer))
        owned[smallest] += 1
        if smallest == me.id:
            acquire.append(owner.mailbox)
    if acquire or leaving or owned[me.id] - min(owned.values()) < 2:
        return Rebalance(tuple(acquire))
    own = sorted(owner.mailbox for owner in owners if owner.replica == me.id)
    fair_share = -(-len(owners) // len(owned))
    return Rebalance(release=tuple(own[-max(1, owned[me.id] - fair_share) :]))
