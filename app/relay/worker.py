"""The outbound loop of one mailbox: claim what may go, offer it, judge, settle. Owns the tasks and their order of stop.

A dispatcher claims only what the mailbox admits; as many workers as connections offer it. The store is the only
truth: what is in memory here can be lost at any moment.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from app import logs, tracing
from app.background import run_periodically
from app.clock import Clock
from app.mail import lifecycle
from app.mail.mailbox_health import MailboxCondition
from app.mail.message.message import Lane
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Verdict
from app.mail.policy import judge
from app.relay import reporting
from app.relay.delivery import attempt_delivery, attempt_login, record_of
from app.relay.leases import Leases
from app.relay.mailbox import Headroom, Mailbox
from app.relay.prefetch import PrefetchBuffer
from app.relay.wakeups import POLL_INTERVAL, PoolWakeups
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.mailboxes.records import HoldRequest
from app.store.records import AttemptLog, Claimed

PREFETCH_PER_SESSION = 16  # messages claimed per session, so that a fast upstream never waits for the disk


class MailboxWorker:
    """One mailbox's outbound loop over what waits in its pool, of which `front` knows.

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
        self._front = wakeups
        self._fence = fence
        self._mailbox = mailbox
        self._sessions = sessions
        self._leases = leases
        self._clock = clock
        self._hands = PrefetchBuffer(mailbox.non_urgent_connections)
        self._wake = asyncio.Event()
        self._kept: MailboxCondition | None = None  # the mailbox's condition as the store has it
        self._wish: HoldRequest | None = None  # a person's, as heard last
        self._fulfilled: HoldRequest | None = None
        self._stopping = asyncio.Event()
        self._cut = False
        self._dispatcher: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._settling: set[asyncio.Task[None]] = set()  # never more than there are hands

    def wake(self) -> None:
        """There may be work: only a hint."""
        self._wake.set()

    def request_hold(self, wish: HoldRequest) -> None:
        """A person wishes something of this mailbox."""
        self._wish = wish
        self.wake()

    async def start(self) -> None:
        """Begin. Raises StoreUnavailable."""
        await self._keep_condition()
        self._dispatcher = asyncio.create_task(
            run_periodically(
                "claim", self._advance, interval=POLL_INTERVAL, wake=self._wake, stopping=self._stopping.is_set
            )
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._mailbox.limits.connections)]

    async def stop(self, drain: float) -> None:
        """Claim nothing more, give back what was not offered, wait `drain` real seconds for the rest, then cut it."""
        if self._dispatcher is None:
            return
        self._stopping.set()
        self._sessions.stop_opening()  # else a slow server, or a slow token endpoint, delays the stop
        self.wake()
        await self._dispatcher
        self._front.unpark(self.wake)
        self._front.wake_next()  # perhaps it was this one's turn
        self._hands.close()
        await self._sessions.close(drain)
        self._cut = True
        await asyncio.gather(*self._workers)
        await asyncio.gather(*self._settling)

    # The dispatcher: decides what may be claimed.

    async def _advance(self) -> float:
        """One step; returns the real seconds to wait before the next."""
        self._front.unpark(self.wake)
        return min(await self._step() / self._clock.speed, POLL_INTERVAL)

    async def _step(self) -> float:
        """Seconds of the clock to wait before the next step."""
        await self._apply_operator_request()
        if not self._mailbox.is_open and not self._mailbox.probe_due:
            return self._mailbox.wait_time()
        if (self._mailbox.probe_due or self._mailbox.condition.unproven) and not await self._probe_login():
            return 0.0
        free = self._free()
        long = POLL_INTERVAL * self._clock.speed  # for want of hands: a worker that has finished wakes us
        if free.total < 1:
            return long
        may = self._mailbox.headroom()
        if may.total < 1:
            return self._mailbox.wait_time() or long
        room = Headroom(min(may.total, free.total), min(may.non_urgent, free.non_urgent))
        if self._front.may_have_work(room):
            return await self._claim(room)
        self._front.park(self.wake, room)
        return (may.non_urgent < 1 and self._mailbox.non_urgent_wait_time()) or long

    def _free(self) -> Headroom:
        """How many there are hands for."""
        held, urgent, at_once = self._hands.total, self._hands.urgent, self._mailbox.trial_limit
        if at_once is not None:
            free = max(0, at_once - held)
            return Headroom(free, free)
        hands = self._mailbox.non_urgent_connections * PREFETCH_PER_SESSION
        others = hands - (held - urgent)
        if others < hands // 2:
            others = 0  # many at once cost one commit
        return Headroom(self._mailbox.connections * PREFETCH_PER_SESSION - urgent, others)

    @property
    def _wanting(self) -> bool:
        """True if the dispatcher has something to do, now that hands were freed."""
        return not self._mailbox.is_open or (not self._front.empty and self._free().non_urgent > 0)

    async def _apply_operator_request(self) -> None:
        """Do as a person wishes, once; when that could not be written down, again."""
        if (wish := self._wish) and wish != self._fulfilled:
            self._mailbox.apply_operator_request(wish)
            self._sessions.forget_failure()
            await self._keep_condition(heard=wish.at)
            self._fulfilled = wish

    async def _probe_login(self) -> bool:
        """Log in without a message, because the last time the upstream was not reached or refused us."""
        attempt = await attempt_login(self._sessions)
        if attempt is None:
            self._mailbox.login_succeeded()
        else:
            self._mailbox.observe(None, attempt, [*judge(attempt, [self._mailbox.name]).values()])
        await self._keep_condition()
        return attempt is None

    async def _keep_condition(self, heard: float | None = None) -> None:
        """The condition outlives a restart."""
        condition = self._mailbox.condition
        if condition != self._kept or heard is not None:
            self._adapt()
            await self._store.save_condition(self._mailbox.name, self._front.pool, condition, heard)
            self._kept = condition

    def _adapt(self) -> None:
        """Sessions beyond what the condition allows end."""
        self._sessions.resize(self._mailbox.connections)
        self._hands.non_urgent_limit = self._mailbox.non_urgent_connections

    async def _claim(self, room: Headroom) -> float:
        begun, now = self._front.begin_claim(), self._clock.now()
        claimed = await self._ask(room, now)
        if claimed is None:  # the mailbox is another's, and this ends at the next beat
            self._front.wake_next()
            return POLL_INTERVAL * self._clock.speed
        urgent = sum(message.lane is Lane.URGENT for message in claimed)
        self._front.record_claim(begun, now, room, urgent, len(claimed) - urgent)
        for index, message in enumerate(claimed):
            recipients = len(message.envelope.rcpt_to)
            if not self._mailbox.begin(recipients):
                await self._give_back(claimed[index:])
                return self._mailbox.wait_time(recipients)
            self._leases.add(message)
            self._hands.put(message)
            tracing.claimed(message.id, message.traceparent, message.mailbox, now)
            logs.claimed(message.id, mailbox=message.mailbox, number=message.number, lane=message.lane)
        return 0.0

    async def _ask(self, room: Headroom, now: float) -> list[Claimed] | None:
        return await self._store.claim(
            self._front.pool,
            self._mailbox.name,
            room.total,
            now,
            self._leases.expires_at(now),
            fence=self._fence,
            non_urgent=room.non_urgent,
            batchable=self._hands.has_waiting,
        )

    # The workers: offer one after the other; the settling of some goes on while the next is offered.

    async def _work(self) -> None:
        while (claimed := await self._hands.take()) is not None:
            try:
                attempt = await self._attempt(claimed)
            except Exception as error:  # a bug costs this message one lease, not the loop
                logs.crashed("offer", error, email=claimed.id)
                self._mailbox.end(len(claimed.envelope.rcpt_to))
                self._drop(claimed)
                continue
            finally:
                self._hands.attempt_ended(claimed)
            settling = asyncio.create_task(self._finish(claimed, attempt))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def _attempt(self, claimed: Claimed) -> tuple[Attempt, Mapping[str, Verdict]] | None:
        """The attempt and its judgement, from which the mailbox has learned; None when it was not offered."""
        recipients = len(claimed.envelope.rcpt_to)
        if self._stopping.is_set() or not self._mailbox.is_open:
            self._mailbox.cancel(recipients)
            return None
        tracing.begin()
        attempt = await attempt_delivery(claimed, self._store, self._sessions)
        verdicts = judge(attempt, claimed.envelope.rcpt_to)
        if attempt.during_login:  # the upstream has not seen this message, so it counts nowhere
            self._mailbox.cancel(recipients)
        else:
            self._mailbox.end(recipients)
        self._mailbox.observe(claimed.id, attempt, [*verdicts.values()])
        if self._mailbox.condition != self._kept:
            self._adapt()
        reporting.record_verdicts(attempt, verdicts.values())
        return attempt, verdicts

    async def _finish(self, claimed: Claimed, judged: tuple[Attempt, Mapping[str, Verdict]] | None) -> None:
        try:
            if judged is None:
                await self._give_back([claimed])
            else:
                await self._settle(claimed, *judged)  # first, so that no mark of a next dot overtakes it
                await self._keep_condition()
        except StoreUnavailableError as error:  # the lease runs out, and reclaim judges what is durable
            logs.store_failed("settle", error, email=claimed.id)
        except Exception as error:  # as above
            logs.crashed("settling", error, email=claimed.id)
        finally:
            self._drop(claimed)
            if self._wanting:
                self._wake.set()

    async def _give_back(self, claimed: Sequence[Claimed]) -> None:
        await self._store.give_back(claimed)
        for one in claimed:
            logs.given_back(one.id, mailbox=one.mailbox)

    def _drop(self, claimed: Claimed) -> None:
        self._leases.remove(claimed)
        self._hands.remove(claimed)

    async def _settle(self, claimed: Claimed, attempt: Attempt, verdicts: Mapping[str, Verdict]) -> None:
        now = self._clock.now()
        jitter = random.uniform(-1, 1)  # noqa: S311 - it spreads load, it keeps no secret
        settlement = lifecycle.settle(claimed.delivery_state, verdicts, now, jitter)
        record = record_of(attempt, verdicts, now)
        if not await self._saved(claimed, settlement, record):
            logs.lease_lost(claimed.id, mailbox=claimed.mailbox, where="at settling")
            return
        reporting.record_settled(claimed, attempt, verdicts.values(), settlement, record)

    async def _saved(self, claimed: Claimed, settlement: lifecycle.Settlement, record: AttemptLog) -> bool:
        """Settle, again and again while the store is unavailable: only here is it known how the attempt ended."""
        try:
            return await self._store.settle(claimed, settlement, record)
        except StoreUnavailableError as error:
            logs.store_failed("settle", error, email=claimed.id)
        again = AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailableError),
            wait=wait_exponential_jitter(multiplier=0.1, max=5.0, jitter=0.1),
            stop=self._give_up,
            reraise=True,
        )
        return await again(self._store.settle, claimed, settlement, record)

    def _give_up(self, _: RetryCallState) -> bool:
        return self._cut
