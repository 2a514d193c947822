"""The store as everyone above sees it: one async method per verb, values in and values out.

Joins the writer, the readers and the verbs, and does nothing itself. Times are epoch seconds, always given by the
caller. Every method raises StoreUnavailable when the database does not answer; a write that raises kept nothing.
"""

import asyncio
import math
import random
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Self
from uuid import UUID

from app.mail.lifecycle import MessageState, Settlement
from app.mail.mailbox_health import MailboxCondition
from app.mail.message.message import Lane
from app.mail.rate_limit import RateLimit
from app.mail.webhook.payload import WebhookEvent
from app.store import retention
from app.store.admin_store import AdminStore
from app.store.db import engine, ping, vacuum
from app.store.db.notify import DUE, FREE, NotifyChannel
from app.store.db.reader import Reader
from app.store.db.writer import OnDue, Writer
from app.store.keys.audit_records import Actor
from app.store.lock_order import LOCK_ORDER
from app.store.mailboxes import conditions
from app.store.mailboxes.records import MailboxRecord, MailboxUsage, SendRecord
from app.store.migrations import is_current, migrate
from app.store.queue import (
    accept,
    claim,
    clock_change,
    delay_notices,
    hold_restored,
    operator,
    recover,
    reschedule,
    settle,
)
from app.store.queue.fair_queue import LaneKey
from app.store.read import backlog, listing, mailbox_usage, messages, queue_position
from app.store.read.records import Backlog, Page, QueuePosition, Selection
from app.store.records import (
    ANYWHERE,
    ELSEWHERE,
    Acceptance,
    Accepted,
    AttemptLog,
    Change,
    Claimed,
    Email,
    Idempotency,
    IdempotencyConflict,
    RateLimited,
    WorkHint,
)
from app.store.replica_store import ReplicaStore
from app.store.webhooks import deliveries, endpoints, outbox
from app.store.webhooks.records import ClaimedDelivery, Delivery, DeliveryResult, Revision, Rotation, Webhook


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 - it spreads load, it keeps no secret


class Store(AdminStore):
    """An open store; get one by `Store.open`. Whose each mailbox is, `replicas` knows."""

    def __init__(self, writer: Writer, reader: Reader, bell: NotifyChannel) -> None:
        super().__init__(writer, reader)
        self._writer = writer
        self._reader = reader
        self._bell = bell
        self.replicas = ReplicaStore(writer, _jitter, partial(bell.notify, FREE))

    @classmethod
    async def open(
        cls, url: str, *, on_due: OnDue = lambda _: None, on_mailbox_free: Callable[[], None] | None = None
    ) -> Self:
        """Open the database of this URL, made and migrated if need be.

        `on_due` is a hint that work may be due, `on_free` that a mailbox may be: who gives it hears from other
        processes too. Raises SchemaTooNew, StoreUnreachable.
        """
        await asyncio.to_thread(migrate, url)
        reader = Reader(engine.read_engine(url))
        bell = NotifyChannel(
            engine.server_dsn(url),
            reader,
            {DUE: partial(on_due, ELSEWHERE), FREE: on_mailbox_free} if on_mailbox_free else {},
        )
        writer = Writer(engine.write_engine(url), bell.notifying(DUE, on_due), LOCK_ORDER)
        return cls(writer, reader, bell)

    async def close(self) -> None:
        """Finish what waits, then let go of the database."""
        await self._writer.close()
        await self._bell.close()
        await asyncio.to_thread(self._reader.close)

    # Into the queue

    async def accept(
        self, acceptances: Sequence[Acceptance], once: Idempotency | None = None, budget: RateLimit | None = None
    ) -> Accepted | IdempotencyConflict | RateLimited:
        """Keep all of them and the Idempotency-Key, and charge their API key's budget, in one commit.

        Raises AlreadyStored if an id is there already.
        """
        hints = frozenset(WorkHint(one.pool, one.lane is Lane.URGENT) for one in acceptances)
        return await self._write(accept.accept, accept.Request(tuple(acceptances), once, budget), hints=hints)

    # Through the relay

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
        """Take what is next in the pool: by lane, then by turn; of what is not urgent at most `others`.

        Each gets a lease and an open attempt. None: the mailbox is no longer owned under `fence`.
        `patient`: there is something to do until they come.
        """
        demand = claim.ClaimRequest(
            pool, mailbox, fence, limit, limit if non_urgent is None else non_urgent, now, lease_until
        )
        return await self._write(claim.claim, demand, batchable=batchable)

    async def mark_dot(self, claimed: Claimed) -> bool:
        """Make it durable that the final dot may leave. False: the lease is lost, it must not.

        What was settled before is durable then too, so no more is ever in doubt than is on its way.
        """
        return await self._write(settle.mark_dot, claimed, flush_batched_first=True)

    async def settle(self, claimed: Claimed, settlement: Settlement, record: AttemptLog) -> bool:
        """Write how the attempt ended. False: the lease was lost and nothing is written."""
        hints = frozenset() if settlement.due_at is None else ANYWHERE
        return await self._write(settle.settle, (claimed, settlement, record), hints=hints, batchable=True)

    async def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Put back what was claimed and never offered, due as before."""
        await self._write(settle.give_back, claimed, hints=ANYWHERE)

    async def renew(self, leases: Sequence[UUID], until: float) -> set[UUID]:
        """Keep these leases until `until`; answers those still held."""
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
        """Put back what nobody holds: leases that have run out, or all of them. With each id: is it in doubt?

        `owner`: only of the mailboxes of this replica. `grace`: leases that ran out so many seconds ago.
        """
        orphans = recover.ExpiredLeases(math.inf if everything else now - grace, now, jitter, owner)
        found: list[tuple[UUID, bool]] = []
        while len(part := await self._write(recover.recover, orphans)) == recover.BATCH_SIZE:
            found += part
        if found or part:  # seldom
            self._writer.hint(ANYWHERE)
        return found + part

    async def expire(self, now: float) -> list[UUID]:
        """End what waits and is too old."""
        found: list[UUID] = []
        while len(part := await self._write(recover.expire, now)) == recover.BATCH_SIZE:
            found += part
        return found + part

    async def hold_waiting(self, now: float) -> int:
        """After a restore: hold whatever may have been relayed since the backup was made; how many."""
        await self.recover(now, everything=True)
        count = part = await self._write(hold_restored.hold, now)
        while part == hold_restored.BATCH_SIZE:
            part = await self._write(hold_restored.hold, now)
            count += part
        return count

    async def latest_timestamp(self) -> float | None:
        """The latest moment that is kept here; in the future if the clock was set back since. None: nothing is."""
        return await self._read(clock_change.latest)

    async def apply_clock_change(self, now: float, lease_until: float) -> int:
        """After the clock was set back: nothing rests longer than it was put off for, no lease beyond `lease_until`.

        Answers how many messages were due too late. What a caller has scheduled stays.
        """
        await self._write(clock_change.shorten, lease_until)
        count = 0
        for pool in {mailbox.pool for mailbox in await self.mailboxes()}:
            after: tuple[float, UUID] | None = (now, clock_change.NIL)
            while after:
                found = await self._write(
                    clock_change.bring_forward, clock_change.Batch(pool, now, after), hints=ANYWHERE
                )
                count, after = count + found.count, found.after
        return count

    async def next_due_times(self, pools: Sequence[str]) -> dict[str, float]:
        """Return by pool the due time of its earliest waiting message; a pool without one is left out.

        The message may be past its expiry (see `expire`).
        """
        return await self._read(partial(messages.next_due_times, pools=pools))

    async def sent_since(self, mailbox: str, since: float) -> list[SendRecord]:
        """What this mailbox has offered after `since`, and is offering now, oldest first."""
        return await self._read(partial(messages.sent_since, mailbox=mailbox, since=since))

    # Out of the store

    async def prune(self, bounds: retention.RetentionCutoffs) -> int:
        """Remove a little of what is over and old: how many rows. 0: there is nothing left, or another does it."""
        return await self._write(retention.prune, bounds, batchable=True)

    async def shrink(self) -> int:
        """Give a little of what an embedded database does not use back to the file system; 0: there is little."""
        return await self._write(vacuum.shrink, None, batchable=True)

    # For people

    async def get(self, id: UUID, key_id: UUID | None = None) -> Email | None:
        """One message with recipients and attempts; None if there is none, or it is another key's."""
        return await self._read(partial(messages.get, id=id, key_id=key_id))

    async def queue_position(self, id: UUID, now: float) -> QueuePosition | None:
        """What a waiting message waits for; None if there is none of that id."""
        return await self._read(partial(queue_position.queue_position, id=id, now=now))

    async def position_of_next(self, pool: str, lane: Lane, key_id: UUID, now: float) -> QueuePosition:
        """What a message would wait for that this key handed in now."""
        return await self._read(
            partial(queue_position.position_of_next, lane_key=LaneKey(pool, lane.rank, key_id), now=now)
        )

    async def find(self, key_id: UUID | None, *, state: MessageState | None = None, limit: int = 20) -> list[Email]:
        """The newest messages of a key (None: of all), without their attempts."""
        return list((await self.list_emails(Selection(key_id=key_id, state=state), limit, 0.0)).emails)

    async def list_emails(self, asked: Selection, limit: int, now: float, *, oldest_first: bool = False) -> Page:
        """At most `limit` of what is asked for: the newest, or the oldest. What it costs is bounded."""
        return await self._read(
            partial(listing.list_emails, asked=asked, limit=limit, now=now, oldest_first=oldest_first)
        )

    async def find_ended(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of them that are done or cancelled."""
        return await self._read(partial(messages.find_ended, ids=ids))

    async def content(self, id: UUID) -> bytes | None:
        """The bytes that go over the wire."""
        return await self._read(partial(messages.content, id=id))

    async def counts(self) -> dict[MessageState, int]:
        """How many messages stand where. Reads an index from end to end: for pages, not for loops."""
        return await self._read(messages.counts)

    async def backlog(self, pools: Sequence[str], now: float) -> Backlog:
        """What waits in these pools, counted up to a bound, and since when."""
        return await self._read(partial(backlog.backlog, pools=pools, now=now))

    async def write_probe(self) -> None:
        """Prove that a commit can be made."""
        await self._write(ping.write_probe, None)

    async def has_our_schema(self) -> bool:
        """Whether the database still has this build's schema."""
        return await self._read(is_current)

    # By people. None: there is no such message, or it is another key's

    async def retry(self, id: UUID, now: float, key_id: UUID | None = None, by: Actor | None = None) -> Change | None:
        """Put a held message back, or the failed recipients of an ended one: due now, its age counted anew."""
        return await self._write(operator.retry, operator.OperatorCommand(id, now, key_id, by=by), hints=ANYWHERE)

    async def cancel(
        self, id: UUID, now: float, key_id: UUID | None = None, *, scheduled: bool = False, by: Actor | None = None
    ) -> Change | None:
        """Take back what waits or is held, or only what is scheduled. What is in a worker's hands goes its way."""
        return await self._write(operator.cancel, operator.OperatorCommand(id, now, key_id, scheduled, by))

    async def reschedule(self, id: UUID, at: float, now: float, key_id: UUID | None = None) -> Change | None:
        """Send what is scheduled at another time; at once if that has passed."""
        return await self._write(reschedule.reschedule, reschedule.Reschedule(id, at, now, key_id), hints=ANYWHERE)

    async def confirm(self, id: UUID, now: float, by: Actor | None = None) -> Change | None:
        """A held message has arrived: it is done, and its pending recipients count as relayed."""
        return await self._write(operator.confirm, operator.OperatorCommand(id, now, by=by))

    # Mailboxes

    async def save_condition(
        self, name: str, pool: str, condition: MailboxCondition, fulfilled_request: float | None = None
    ) -> None:
        """Keep where a mailbox stands; `heard` is the moment of the wish that this fulfils."""
        await self._write(conditions.save_condition, conditions.SaveCondition(name, pool, condition, fulfilled_request))

    async def mailbox(self, name: str) -> MailboxRecord | None:
        """One mailbox, if it ever relayed."""
        return await self._read(partial(conditions.find, name=name))

    async def mailboxes(self) -> list[MailboxRecord]:
        """All that ever relayed, by name."""
        return await self._read(conditions.list_all)

    async def usage(self, now: float) -> dict[str, MailboxUsage]:
        """What each of them has used of its limits, by name. Reads a day of attempts: for pages, not for loops."""
        return await self._read(partial(mailbox_usage.usage, now=now))

    # Webhooks

    async def create_webhook(self, webhook: Webhook) -> None:
        """Keep an endpoint, which hears of what happens from now on."""
        await self._write(endpoints.create, webhook)

    async def webhooks(self) -> list[Webhook]:
        """All of them, the newest first, disabled ones too."""
        return await self._read(endpoints.list_all)

    async def webhook(self, id: UUID) -> Webhook | None:
        """One of them."""
        return await self._read(partial(endpoints.find, id=id))

    async def revise_webhook(self, revision: Revision) -> bool:
        """Change an endpoint. False: there is none of that id."""
        return await self._write(endpoints.revise, revision)

    async def rotate_webhook(self, rotation: Rotation) -> bool:
        """Give an endpoint a new secret; the old one signs beside it for a while. False: there is none of that id."""
        return await self._write(endpoints.rotate, rotation)

    async def remove_webhook(self, id: UUID) -> bool:
        """Forget an endpoint. False: there is none of that id."""
        return await self._write(endpoints.remove, id)

    async def webhook_backlog(self, id: UUID) -> int:
        """How many events one of them is still to be told of, counted up to a bound."""
        return await self._read(partial(backlog.webhook_backlog, id=id))

    async def deliveries(self, webhook: UUID, before: UUID | None, limit: int) -> list[Delivery]:
        """The newest events of an endpoint, those before an event if one is given."""
        return await self._read(partial(endpoints.deliveries, id=webhook, before=before, limit=limit))

    async def delivery(self, webhook: UUID, event: UUID) -> Delivery | None:
        """One event as it stands with one endpoint."""
        return await self._read(partial(endpoints.delivery, id=webhook, event_id=event))

    async def replay(self, webhook: UUID, event: UUID, now: float) -> bool:
        """Tell an endpoint of an event again, under the same id. False: it was never in its line."""
        return await self._write(deliveries.replay, deliveries.Replay(webhook, event, now))

    async def replay_failed(self, webhook: UUID, since: float, now: float) -> int:
        """The same with every event since that moment that was given up; answers how many."""
        again = deliveries.ReplayFailed(webhook, since, now)
        count = part = await self._write(deliveries.replay_failed, again)
        while part == deliveries.BATCH_SIZE:
            part = await self._write(deliveries.replay_failed, again)
            count += part
        return count

    async def publish_event(self, notice: WebhookEvent) -> None:
        """Tell the webhooks what no other write tells of by itself."""
        await self._write(outbox.publish, notice)

    async def write_delay_notices(self, now: float) -> None:
        """Tell the webhooks which messages wait for an hour already."""
        while await self._read(partial(delay_notices.any_due, now=now)):
            if await self._write(delay_notices.write_notices, now) < delay_notices.BATCH_SIZE:
                break

    async def webhooks_with_work(self, now: float) -> list[Webhook]:
        """The enabled endpoints for which something is due."""
        return await self._read(partial(endpoints.with_work, now=now))

    async def claim_deliveries(
        self, webhook: UUID, limit: int, now: float, lease_until: float
    ) -> list[ClaimedDelivery]:
        """Take what an endpoint is to be told next, of each subject only the first."""
        return await self._write(deliveries.claim, deliveries.ClaimRequest(webhook, limit, now, lease_until))

    async def recover_deliveries(self, now: float, until: float) -> None:
        """Put back what is taken under leases that end by `until`. For who knows that nobody holds them."""
        await self._write(deliveries.recover, deliveries.ExpiredLeases(now, until))

    async def settle_delivery(self, result: DeliveryResult) -> bool:
        """Write how a try ended. False: the lease was lost and nothing is written."""
        return await self._write(deliveries.settle, result)
