"""Outbound loop of one mailbox: dispatch (claim what may be sent), attempt, settle.

One dispatcher claims no more than the mailbox's limits admit; one worker per connection attempts the messages. The
store alone is authoritative: everything in memory here may be lost at any moment.
"""

import asyncio
import random
from collections.abc import Sequence

from app import logs, tracing
from app.background import run_periodically
from app.clock import Clock
from app.mail.mailbox_health import MailboxCondition
from app.mail.message.message import Lane
from app.mail.policy import judge
from app.relay.claims import Leases, PrefetchBuffer
from app.relay.delivery import Finished, attempt_delivery, attempt_login, evaluate, record_settled, record_verdicts
from app.relay.mailbox import Headroom, Mailbox
from app.relay.wakeups import POLL_INTERVAL, PoolWakeups
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import HoldRequest
from app.store.records import Claimed

PREFETCH_PER_SESSION = 32  # messages claimed per session, so that a fast upstream never waits for the disk


class MailboxWorker:
    """Tasks of one mailbox over its pool's queue, and the order in which they stop.

    `fence` is the token under which this replica owns the mailbox.
    """

    def __init__(
        self,
        store: Store,
        wakeups: PoolWakeups,
        fence: int,
        mailbox: Mailbox,
        sessions: SessionPool,
        leases: Leases,
        clock: Clock,
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._fence = fence
        self._mailbox = mailbox
        self._sessions = sessions
        self._leases = leases
        self._clock = clock
        self._prefetch = PrefetchBuffer(mailbox.non_urgent_connections)
        self._wake = asyncio.Event()
        self._saved_condition: MailboxCondition | None = None
        self._requested: HoldRequest | None = None  # the operator's latest request
        self._applied: HoldRequest | None = None
        self._stopping = asyncio.Event()
        self._drain_over = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._settling: set[asyncio.Task[None]] = set()  # at most one per claimed message

    def wake(self) -> None:
        """Hint that there may be work."""
        self._wake.set()

    def request_hold(self, request: HoldRequest) -> None:
        """Accept an operator's request to hold or release the mailbox."""
        self._requested = request
        self.wake()

    async def start(self) -> None:
        """Start the tasks. Raises StoreUnavailableError."""
        await self._save_condition()
        self._dispatcher = asyncio.create_task(
            run_periodically(
                "claim", self._dispatch, interval=POLL_INTERVAL, wake=self._wake, stopping=self._stopping.is_set
            )
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._mailbox.limits.connections)]

    async def stop(self, drain: float) -> None:
        """Stop claiming, give back unattempted messages, and wait `drain` real seconds for attempts before aborting."""
        if self._dispatcher is None:
            return
        self._stopping.set()
        self._sessions.stop_opening()  # else a slow server, or a slow token endpoint, delays the stop
        self.wake()
        await self._dispatcher
        self._wakeups.unpark(self.wake)
        self._wakeups.wake_next()  # a hint may have been passed to this mailbox
        self._prefetch.close()
        await self._sessions.close(drain)
        self._drain_over = True
        await asyncio.gather(*self._workers)
        await asyncio.gather(*self._settling)

    # 1. Dispatch: claim what the mailbox admits.

    async def _dispatch(self) -> float:
        """Run one step; return the real seconds until the next."""
        self._wakeups.unpark(self.wake)
        return min(await self._claim_if_admitted() / self._clock.speed, POLL_INTERVAL)

    async def _claim_if_admitted(self) -> float:
        """Claim if the mailbox is open and has headroom; return the clock's seconds until the next step."""
        await self._apply_operator_request()
        if not self._mailbox.is_open and not self._mailbox.probe_due:
            return self._mailbox.wait_time()
        if (self._mailbox.probe_due or self._mailbox.condition.unproven) and not await self._probe_login():
            return 0.0
        buffer = self._buffer_headroom()
        poll_later = POLL_INTERVAL * self._clock.speed  # a worker that settles a message wakes the dispatcher earlier
        if buffer.total < 1:
            return poll_later
        limits = self._mailbox.headroom()
        if limits.total < 1:
            return self._mailbox.wait_time() or poll_later
        headroom = Headroom(min(limits.total, buffer.total), min(limits.non_urgent, buffer.non_urgent))
        if self._wakeups.may_have_work(headroom):
            return await self._claim(headroom)
        self._wakeups.park(self.wake, headroom)
        return (limits.non_urgent < 1 and self._mailbox.non_urgent_wait_time()) or poll_later

    async def _claim(self, headroom: Headroom) -> float:
        begun, now = self._wakeups.begin_claim(), self._clock.now()
        claimed = await self._store.claim(
            self._wakeups.pool,
            self._mailbox.name,
            headroom.total,
            now,
            self._leases.expires_at(now),
            fence=self._fence,
            non_urgent=headroom.non_urgent,
            batchable=self._prefetch.has_waiting,
        )
        if claimed is None:  # another replica owns the mailbox; the next heartbeat ends this worker
            self._wakeups.wake_next()
            return POLL_INTERVAL * self._clock.speed
        urgent = sum(message.lane is Lane.URGENT for message in claimed)
        self._wakeups.record_claim(begun, now, headroom, urgent, len(claimed) - urgent)
        for index, message in enumerate(claimed):
            recipients = len(message.envelope.rcpt_to)
            if not self._mailbox.begin(recipients):
                await self._give_back(claimed[index:])
                return self._mailbox.wait_time(recipients)
            self._leases.add(message)
            self._prefetch.put(message)
            tracing.claimed(message.id, message.traceparent, message.mailbox, now)
            logs.claimed(message.id, mailbox=message.mailbox, number=message.number, lane=message.lane)
        return 0.0

    # 2. Attempt: one message after the other; earlier ones are settled meanwhile.

    async def _work(self) -> None:
        while (claimed := await self._prefetch.take()) is not None:
            try:
                finished = await self._attempt(claimed)
            except Exception as error:  # a bug costs this message one lease, not the loop
                logs.crashed("attempt", error, email=claimed.id)
                self._mailbox.end(len(claimed.envelope.rcpt_to))
                self._forget(claimed)
                continue
            finally:
                self._prefetch.attempt_ended(claimed)
            settling = asyncio.create_task(self._settle_or_give_back(claimed, finished))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def _attempt(self, claimed: Claimed) -> Finished | None:
        """Attempt the delivery and update the mailbox by its result. None: it was not attempted."""
        recipients = len(claimed.envelope.rcpt_to)
        if self._stopping.is_set() or not self._mailbox.is_open:
            self._mailbox.cancel(recipients)
            return None
        tracing.begin()
        attempt = await attempt_delivery(claimed, self._store, self._sessions)
        jitter = random.uniform(-1, 1)  # noqa: S311 - it spreads load and protects no secret
        finished = evaluate(claimed, attempt, self._clock.now(), jitter)
        if attempt.during_login:  # the upstream has not seen this message, so it counts against no limit
            self._mailbox.cancel(recipients)
        else:
            self._mailbox.end(recipients)
        self._mailbox.observe(claimed.id, attempt, [*finished.verdicts.values()])
        if self._mailbox.condition != self._saved_condition:
            self._apply_condition()
        record_verdicts(finished)
        return finished

    # 3. Settle: store the outcome under the message's lease.

    async def _settle_or_give_back(self, claimed: Claimed, finished: Finished | None) -> None:
        try:
            if finished is None:
                await self._give_back([claimed])
            else:
                await self._settle(finished)  # first, so that the mark of a later dot cannot overtake it
                await self._save_condition()
        except StoreUnavailableError as error:  # the lease expires, and recovery evaluates what is durable
            logs.store_failed("settle", error, email=claimed.id)
        except Exception as error:  # as above
            logs.crashed("settling", error, email=claimed.id)
        finally:
            self._forget(claimed)
            if self._can_dispatch:
                self._wake.set()
            elif self._buffer_headroom().non_urgent > 0:  # else the next hint would wait for the poll
                self._wakeups.admit_non_urgent(self.wake)

    async def _settle(self, finished: Finished) -> None:
        """Store the outcome. Repeats while the database is unavailable: only this process knows the outcome."""
        try:
            stored = await self._store.settle(finished.claimed, finished.settlement, finished.record)
        except StoreUnavailableError as error:
            logs.store_failed("settle", error, email=finished.claimed.id)
            stored = await self._settle_again(finished)
        if stored:
            record_settled(finished)
        else:
            logs.lease_lost(finished.claimed.id, mailbox=finished.claimed.mailbox, where="at settling")

    async def _settle_again(self, finished: Finished) -> bool:
        from tenacity import (  # noqa: PLC0415 - needed after an error of the database alone
            AsyncRetrying,
            retry_if_exception_type,
            wait_exponential_jitter,
        )

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailableError),
            wait=wait_exponential_jitter(multiplier=0.1, max=5.0, jitter=0.1),
            stop=lambda _: self._drain_over,
            reraise=True,
        )
        return await retrying(self._store.settle, finished.claimed, finished.settlement, finished.record)

    async def _give_back(self, claimed: Sequence[Claimed]) -> None:
        await self._store.give_back(claimed)
        for one in claimed:
            logs.given_back(one.id, mailbox=one.mailbox)

    def _forget(self, claimed: Claimed) -> None:
        self._leases.remove(claimed)
        self._prefetch.remove(claimed)

    # What the three steps share: space in the buffer, and the mailbox's condition.

    def _buffer_headroom(self) -> Headroom:
        """Messages that the prefetch buffer has space for."""
        claimed, urgent, trial_limit = self._prefetch.total, self._prefetch.urgent, self._mailbox.trial_limit
        if trial_limit is not None:
            free = max(0, trial_limit - claimed)
            return Headroom(free, free)
        capacity = self._mailbox.non_urgent_connections * PREFETCH_PER_SESSION
        non_urgent = capacity - (claimed - urgent)
        if non_urgent < capacity // 2:
            non_urgent = 0  # a larger claim later costs one commit
        return Headroom(self._mailbox.connections * PREFETCH_PER_SESSION - urgent, non_urgent)

    @property
    def _can_dispatch(self) -> bool:
        """True if the dispatcher has work now that a message has left the buffer."""
        return not self._mailbox.is_open or (not self._wakeups.empty and self._buffer_headroom().non_urgent > 0)

    async def _apply_operator_request(self) -> None:
        """Apply the latest request once; repeat it if it could not be stored."""
        if (request := self._requested) and request != self._applied:
            self._mailbox.apply_operator_request(request)
            self._sessions.forget_failure()
            await self._save_condition(fulfilled_request=request.at)
            self._applied = request

    async def _probe_login(self) -> bool:
        """Log in without a message, because the upstream was not reached or refused the last login."""
        attempt = await attempt_login(self._sessions)
        if attempt is None:
            self._mailbox.login_succeeded()
        else:
            self._mailbox.observe(None, attempt, [*judge(attempt, [self._mailbox.name]).values()])
        await self._save_condition()
        return attempt is None

    async def _save_condition(self, fulfilled_request: float | None = None) -> None:
        """Store the condition if it has changed. `fulfilled_request`: time of the operator's request that led to it."""
        condition = self._mailbox.condition
        if condition != self._saved_condition or fulfilled_request is not None:
            self._apply_condition()
            await self._store.save_condition(self._mailbox.name, self._wakeups.pool, condition, fulfilled_request)
            self._saved_condition = condition

    def _apply_condition(self) -> None:
        """Close the sessions that the condition no longer allows."""
        self._sessions.resize(self._mailbox.connections)
        self._prefetch.non_urgent_limit = self._mailbox.non_urgent_connections
