"""Facade of the store: one async method for each operation or query, values in and values out.

A method that only runs one of them is made from it, with its parameters and its result, and documented there.

Rules for all methods: times are epoch seconds of the caller's clock, durations are seconds. Every method raises
StoreUnavailableError if the database does not answer. A write returns after its commit is on disk; a write that raises
has stored nothing, unless the connection to a database server was lost during the commit.

With a `key_id` a method sees only the mail of that API key; None: the mail of all keys.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Self, TypeVar
from uuid import UUID

from app.mail.key_policy import RateLimit
from app.mail.lifecycle import Settlement
from app.mail.message.message import Lane
from app.mail.office365.limits import MailboxLimits
from app.mail.suppression import Listing
from app.mail.times import iso
from app.store import email_counts, retention
from app.store.admin_store import AdminStore
from app.store.db import engine, ping, vacuum
from app.store.db.methods import ReadMethod, WriteMethod
from app.store.db.notify import DUE, FREE, NotifyChannel
from app.store.db.reader import Reader
from app.store.db.writer import OnDue, Operation, Writer
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.lock_order import LOCK_ORDER
from app.store.mailboxes import conditions
from app.store.message_trace_store import TraceStore
from app.store.migrations import is_current, migrate
from app.store.queue import accept, claim, clock_change, delay_notices, operator, recover, settle
from app.store.queue.accept import Acceptance, Accepted, Idempotency, IdempotencyConflict, RateLimited
from app.store.queue.fair_queue import LaneKey
from app.store.queue.settle import AttemptResult, Mark
from app.store.read import backlog as backlog_counts
from app.store.read import listing, mailbox_usage, messages, queue_position, status
from app.store.read.records import BoundedCount, MessagePage, QueuePosition, Selection
from app.store.records import ANY_POOL, OTHER_PROCESS, AttemptLog, Change, Claimed, Email, WorkHint
from app.store.replica_store import ReplicaStore
from app.store.suppressions import recheck
from app.store.webhooks import deliveries as delivery_queue
from app.store.webhooks import endpoints, outbox
from app.store.webhooks.records import NewWebhook, Removal

A = TypeVar("A")
R = TypeVar("R")


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 - jitter needs no secrecy


def _notification(channel: NotifyChannel | None, hint: str) -> Callable[[], None]:
    """Return a function that sends the hint to the other processes, if there can be any."""
    return partial(channel.notify, hint) if channel else lambda: None


_NO_HINTS: frozenset[WorkHint] = frozenset()


@lru_cache(256)
def _coming(pool: str, lane: Lane) -> frozenset[WorkHint]:
    return frozenset({WorkHint(pool, lane is Lane.URGENT, before_commit=True)})


class Store(AdminStore):
    """An open store; `Store.open` makes one. `replicas` has the methods by which replicas share mailboxes,
    `traces` those for the readers of Exchange's message trace and of non-delivery reports.
    """

    def __init__(self, writer: Writer, reader: Reader, channel: NotifyChannel | None) -> None:
        super().__init__(writer, reader)
        self._writer = writer
        self._reader = reader
        self._channel = channel
        self._outcomes: dict[UUID, AttemptResult] = {}  # outcomes of attempts that no commit has yet, by lease
        self.traces = TraceStore(writer, reader)
        self.replicas = ReplicaStore(writer, _jitter, _notification(channel, FREE))

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open the database of this URL; create and migrate it if necessary.

        Raises SchemaTooNewError, StoreUnreachableError.
        """
        await asyncio.to_thread(migrate, url)
        reader = Reader(engine.read_engine(url))
        server = engine.server_dsn(url)
        channel = NotifyChannel(server, reader) if server else None  # an embedded database has no other processes
        writer = Writer(engine.write_engine(url), LOCK_ORDER, _notification(channel, DUE))
        return cls(writer, reader, channel)

    def listen(self, on_due: OnDue, on_mailbox_free: Callable[[], None]) -> None:
        """Call `on_due` with a hint when work may be due, and `on_mailbox_free` when a mailbox may have become free.

        Both are called on the event loop, also for writes of other processes. The hint of accepted messages comes
        before their commit.
        """
        self._writer.on_due = on_due
        if self._channel is not None:
            self._channel.listen({DUE: partial(on_due, OTHER_PROCESS), FREE: on_mailbox_free})

    def suppress_bounces_for(self, seconds: float | None) -> None:
        """Set the time after which the suppression of an address that bounced ends; None: never; 0: none is made."""
        self.traces.suppression_lifetime = seconds

    async def close(self) -> None:
        """Finish pending writes, then close all connections."""
        await self._writer.close()
        if self._channel is not None:
            await self._channel.close()
        await asyncio.to_thread(self._reader.close)

    async def _in_batches(
        self, operation: Operation[A, R], argument: A, full: int, size_of: Callable[[R], int]
    ) -> list[R]:
        """Repeat the write until a result is not `full`; return all results."""
        results = [await self._write(operation, argument)]
        while size_of(results[-1]) == full:
            results.append(await self._write(operation, argument))
        return results

    # Submission

    async def accept(
        self,
        acceptances: Sequence[Acceptance],
        idempotency: Idempotency | None = None,
        rate_limit: RateLimit | None = None,
    ) -> Accepted | IdempotencyConflict | RateLimited:
        """Store the messages and the Idempotency-Key, and count against the API key's rate limit, in one commit.

        All messages have the same API key; with `idempotency` there is at least one. Returns `Accepted` with their ids
        in order, or with those of the first request with this Idempotency-Key; `IdempotencyConflict` if that request
        was another one; `RateLimited` if the `rate_limit` is exceeded. Raises AlreadyStoredError if one of the ids is
        stored already.
        """
        hints = _NO_HINTS.union(*[_coming(one.pool, one.lane) for one in acceptances])
        return await self._write(
            accept.accept, accept.Request(tuple(acceptances), idempotency, rate_limit), hints=hints
        )

    async def suppressed_recipients(self, acceptance: Acceptance) -> Mapping[str, Listing]:
        """Return the recipients that `accept` would store as suppressed."""
        found = await self._read(partial(accept.suppressed, fresh=[acceptance]))
        return found.get(acceptance.id, {})

    still_suppressed = ReadMethod(recheck.still_suppressed)

    # Relay: claim, attempt, settle

    async def claim(
        self,
        pool: str,
        mailbox: str,
        limit: int,
        now: float,
        lease_until: float,
        *,
        fence: int,
        non_urgent: int | None = None,
        batchable: bool = False,
    ) -> list[Claimed] | None:
        """Claim up to `limit` due messages of the pool, in the order of lanes and turns.

        At most `non_urgent` of them are not urgent (None: `limit`). Each gets a lease until `lease_until` and an open
        attempt. Returns [] if none is due, None if the mailbox is no longer owned under the token `fence`. `batchable`:
        the commit may wait BATCH_DELAY for others.
        """
        request = claim.ClaimRequest(
            pool, mailbox, fence, limit, limit if non_urgent is None else non_urgent, now, lease_until
        )
        return await self._write(claim.claim, request, batchable=batchable)

    async def mark_dot(self, claimed: Claimed, *, siblings: int = 0) -> bool:
        """Record on disk that the final dot may be sent. False: the lease is lost, so it must not be sent.

        `siblings`: other messages that are being sent; marks that are requested at once share a commit.

        The outcomes that were given to `settle` before and are not committed are stored with it, so at most the message
        in flight can be in doubt.
        """
        outcomes = dict(self._outcomes)
        self._outcomes.clear()
        try:
            return await self._write(settle.mark_dot, Mark(claimed, tuple(outcomes.values())), siblings=siblings)
        except BaseException:
            self._outcomes.update(outcomes)  # for the next mark; of a settled one it writes nothing
            raise

    async def settle(self, claimed: Claimed, settlement: Settlement, record: AttemptLog) -> bool:
        """Write the outcome of an attempt: message, recipients, log, and the suppression of addresses that bounced.

        False: the lease was lost, nothing is written.

        The commit waits up to BATCH_DELAY for others.
        """
        hints = frozenset() if settlement.due_at is None else ANY_POOL
        result = self._outcomes[claimed.lease] = AttemptResult(
            claimed, settlement, record, self.traces.suppression_lifetime
        )
        held = await self._write(settle.settle, result, hints=hints, batchable=True)
        self._outcomes.pop(claimed.lease, None)
        return held

    async def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Requeue claimed messages that were never attempted, with their former due times."""
        await self._write(settle.give_back, claimed, hints=ANY_POOL)

    async def renew(self, leases: Sequence[UUID], until: float) -> set[UUID]:
        """Extend these leases to `until`; return those still held."""
        return await self._write(settle.renew, settle.Renewal(frozenset(leases), until))

    async def recover(
        self,
        now: float,
        *,
        everything: bool = False,
        owner: UUID | None = None,
        grace: float = 0.0,
        jitter: Callable[[], float] = _jitter,
    ) -> list[tuple[UUID, bool]]:
        """Recover messages with an expired lease, or all active ones (`everything`).

        `owner`: only those of mailboxes of this replica. `grace`: seconds that must have passed since the lease
        expired. `jitter` returns numbers in -1..1 for the retry delays. A message is settled if its outcome is stored;
        the others are requeued and returned, each id with a flag: is the message in doubt?
        """
        expired = recover.ExpiredLeases(math.inf if everything else now - grace, now, jitter, owner)
        found = [*chain(*await self._in_batches(recover.recover, expired, recover.BATCH_SIZE, len))]
        if found:  # rare
            self._writer.hint(ANY_POOL)
        return [(id, in_doubt) for id, in_doubt in found if in_doubt is not None]

    async def expire(self, now: float) -> list[UUID]:
        """End waiting messages past their expiry: their pending recipients fail. Returns the ids of the messages."""
        return [*chain(*await self._in_batches(recover.expire, now, recover.BATCH_SIZE, len))]

    async def hold_waiting(self, now: float) -> int:
        """Hold, after a restore, every message that may have been relayed since the backup; return their number."""
        await self.recover(now, everything=True)
        return sum(await self._in_batches(recover.hold, now, recover.BATCH_SIZE, int))

    latest_timestamp = ReadMethod(clock_change.latest)

    async def apply_clock_change(self, now: float, lease_until: float) -> int:
        """Adjust due times and leases after the wall clock was set back.

        No retry delay gets longer and no lease exceeds `lease_until`; times set by callers stay. Returns the number of
        messages brought forward.
        """
        await self._write(clock_change.shorten, lease_until)
        count = 0
        for pool in {mailbox.pool for mailbox in await self.mailboxes()}:
            after: tuple[float, UUID] | None = (now, clock_change.NIL)
            while after:
                found = await self._write(
                    clock_change.bring_forward, clock_change.Batch(pool, now, after), hints=ANY_POOL
                )
                count, after = count + found.count, found.after
        return count

    next_due_times = ReadMethod(messages.next_due_times)
    sent_since = ReadMethod(messages.sent_since)

    # Retention

    prune = WriteMethod(retention.prune, batchable=True)

    async def shrink(self, min_free_pages: int = vacuum.MIN_FREE_PAGES) -> int:
        """Return up to `vacuum.BATCH_PAGES` unused pages of an embedded database to the file system; their number.

        `min_free_pages` stay in the file.
        """
        return await self._write(vacuum.shrink, min_free_pages, batchable=True)

    # Reads

    get = ReadMethod(messages.get)

    async def queue_position(
        self, id: UUID, now: float, exact: int = queue_position.EXACT_COUNT_LIMIT
    ) -> QueuePosition | None:
        """Return the queue position of a waiting message; None if there is no message of this id.

        A position of `exact` or more is estimated.
        """
        return await self._read(partial(queue_position.queue_position, id=id, now=now, exact=exact))

    async def delivery_status(
        self, email: Email, capacities: Mapping[str, MailboxLimits], now: float
    ) -> status.DeliveryStatus:
        """Return explanation, queue position and estimated send time of an email; `capacities`: limits by mailbox."""
        queued = await self.queue_position(email.id, now) if status.is_waiting(email, now) else None
        return status.delivery_status(email, queued, capacities, now)

    async def position_of_next(self, pool: str, lane: Lane, key_id: UUID, now: float) -> QueuePosition:
        """Return the queue position of a message that this key would submit now."""
        return await self._read(
            partial(queue_position.position_of_next, lane_key=LaneKey(pool, lane.rank, key_id), now=now)
        )

    async def list_emails(self, asked: Selection, limit: int, now: float, *, oldest_first: bool = False) -> MessagePage:
        """Return up to `limit` messages of the selection, the newest or the oldest, without their attempts.

        The newest comes first in both cases. `now` decides `last_event`. A page reads a limited number of rows, so it
        may be short and have a `next_id` to continue from.
        """
        return await self._read(
            partial(listing.list_emails, asked=asked, limit=limit, now=now, oldest_first=oldest_first)
        )

    async def count_emails(self, asked: Selection, now: float, limit: int = listing.COUNT_LIMIT) -> BoundedCount:
        """Return the number of messages of a selection among the newest `limit` that its index has."""
        return await self._read(partial(listing.count, asked=asked, now=now, limit=limit))

    count_by_event = ReadMethod(listing.count_by_event)
    numbers_since = ReadMethod(email_counts.numbers_since)
    find_ended = ReadMethod(messages.find_ended)
    content = ReadMethod(messages.content)
    backlog = ReadMethod(backlog_counts.backlog)

    async def write_probe(self) -> None:
        """Commit one small write to prove that the database can be written to."""
        await self._write(ping.write_probe, None)

    has_our_schema = ReadMethod(is_current)

    # Operator commands. None: there is no such message, or it is another key's. `by`: actor for the audit

    async def retry(self, id: UUID, now: float, key_id: UUID | None = None, by: Actor | None = None) -> Change | None:
        """Requeue a held message, or the failed recipients of a done one: due now, with a new lifetime."""
        return await self._write(operator.retry, operator.OperatorCommand(id, now, key_id, by=by), hints=ANY_POOL)

    async def cancel(
        self, id: UUID, now: float, key_id: UUID | None = None, *, scheduled: bool = False, by: Actor | None = None
    ) -> Change | None:
        """Cancel a waiting or held message. Active messages are not changed. `scheduled`: only before its send time."""
        return await self._write(operator.cancel, operator.OperatorCommand(id, now, key_id, scheduled, by))

    async def reschedule(
        self, id: UUID, at: float, now: float, key_id: UUID | None = None, by: Actor | None = None
    ) -> Change | None:
        """Change the send time of a scheduled message to `at`; a time in the past means now."""
        return await self._write(
            operator.reschedule, operator.RescheduleRequest(id, at, now, key_id, by), hints=ANY_POOL
        )

    async def confirm(self, id: UUID, now: float, by: Actor | None = None) -> Change | None:
        """Confirm the delivery of a held message: it is done, its pending recipients count as relayed."""
        return await self._write(operator.confirm, operator.OperatorCommand(id, now, by=by))

    # Mailboxes

    save_condition = WriteMethod(conditions.save_condition, conditions.SaveCondition)
    mailbox = ReadMethod(conditions.find)
    mailboxes = ReadMethod(conditions.list_all)
    usage = ReadMethod(mailbox_usage.usage)
    active_sends = ReadMethod(mailbox_usage.active_sends)
    send_history = ReadMethod(mailbox_usage.send_history)

    # Webhooks

    create_webhook = WriteMethod(endpoints.create, NewWebhook)
    webhooks = ReadMethod(endpoints.list_all)
    webhook = ReadMethod(endpoints.find)
    revise_webhook = WriteMethod(endpoints.revise)
    rotate_webhook = WriteMethod(endpoints.rotate)
    remove_webhook = WriteMethod(endpoints.remove, Removal)
    webhook_backlog = ReadMethod(backlog_counts.webhook_backlog)
    deliveries = ReadMethod(endpoints.deliveries)
    next_deliveries = ReadMethod(endpoints.next_deliveries)
    delivery = ReadMethod(endpoints.delivery)
    replay = WriteMethod(delivery_queue.replay, delivery_queue.Replay)

    async def replay_failed(self, webhook: UUID, since: float, now: float, by: Actor | None = None) -> int:
        """Deliver every failed event since `since` to an endpoint again; return their number."""
        request = delivery_queue.ReplayFailed(webhook, since, now)
        number = sum(await self._in_batches(delivery_queue.replay_failed, request, delivery_queue.BATCH_SIZE, int))
        if by is not None and number:
            details = {"events": number, "since": iso(since)}
            await self.record(Entry(now, by, AuditAction.WEBHOOK_REPLAYED, str(webhook), details))
        return number

    publish_event = WriteMethod(outbox.publish)

    async def write_delay_notices(self, now: float) -> None:
        """Publish `email.delivery_delayed` for messages that have waited for DELAY_NOTICE_AFTER."""
        while await self._read(partial(delay_notices.any_due, now=now)):
            if await self._write(delay_notices.write_notices, now) < delay_notices.BATCH_SIZE:
                break

    webhooks_with_work = ReadMethod(endpoints.with_work)
    claim_deliveries = WriteMethod(delivery_queue.claim, delivery_queue.DeliveryClaim)
    recover_deliveries = WriteMethod(delivery_queue.recover, delivery_queue.ExpiredDeliveryLeases)
    settle_delivery = WriteMethod(delivery_queue.settle)
