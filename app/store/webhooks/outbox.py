"""Outbox of webhook events, written in the transaction of the change that they report, and schedule of delay notices.

Sends nothing. Without an enabled webhook it costs one query of an empty index for each batch of writes. An event
without a subscriber is not stored.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, exists, select

from app.mail.explain import explain, fill_placeholders
from app.mail.lifecycle import MessageState, RecipientState, is_relayed
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from app.mail.suppression import Listing
from app.mail.webhook import payload
from app.mail.webhook.payload import DeliveryReport, EmailSnapshot, WebhookEvent
from app.mail.webhook.rules import EventType
from app.store.db import uuid7
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.schema import delay_notices, messages, recipients, webhook_deliveries, webhook_events, webhooks
from app.store.webhooks.records import DeliveryState, WebhookStatus


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An enabled webhook, and the event types it subscribes to."""

    id: UUID
    events: frozenset[str]


Subscriptions = Sequence[Subscriber]
_EmailFacts = tuple[str, RecipientState, str | None]  # a recipient's address, state and last reply

_m, _r, _w = messages.c, recipients.c, webhooks.c
_BY_ID: BindParameter[list[UUID]] = bindparam("ids", expanding=True)

_ENABLED = PreparedStatement(select(_w.id, _w.events).where(_w.status == WebhookStatus.ENABLED))
_EVENT = PreparedStatement(lambda dialect: upsert(dialect, webhook_events).on_conflict_do_nothing())
_DELIVERY = PreparedStatement(
    webhook_deliveries.insert().inline(),
    sets=("webhook_id", "event_id", "subject", "state", "next_at", "tries", "history"),
)
_SCHEDULE_NOTICE = PreparedStatement(lambda dialect: upsert(dialect, delay_notices).on_conflict_do_nothing())
_REMOVE_NOTICE = PreparedStatement(
    delete(delay_notices).where(
        delay_notices.c.at == bindparam("moment"), delay_notices.c.message_id == bindparam("message")
    )
)
ANY_WEBHOOK = exists().where(_w.status == WebhookStatus.ENABLED).label("any_webhook")  # a column of another query
_FACTS = select(
    *(_m.id, _m.message_id, _m.state, _m.created_at, _m.scheduled_at, _m.head, _m.mailbox, _m.attempts),
    *(_m.possible_duplicate, _m.explanation),
).where(_m.id.in_(_BY_ID))
_TO = (
    select(_r.message_id, _r.address, _r.state, _r.reply)
    .where(_r.message_id.in_(_BY_ID))
    .order_by(_r.message_id, _r.position)
)


def subscriptions(connection: Connection) -> Subscriptions:
    """Return the enabled webhooks and the event types they subscribe to."""
    return [Subscriber(row.id, frozenset(row.events)) for row in _ENABLED.all(connection, {})]


def accepted(connection: Connection, later: Mapping[UUID, float], due: Mapping[UUID, float]) -> None:
    """Publish `scheduled` for new messages with a later send time, and schedule delay notices for all.

    `later`: time of the acceptance; `due`: first send time; both by message, epoch seconds.
    """
    if listeners := subscriptions(connection):
        _write_email_events(connection, listeners, later, EventType.SCHEDULED)
        schedule_delay_notices(connection, listeners, due)


def requeued(connection: Connection, since: Mapping[UUID, float]) -> None:
    """Schedule delay notices for messages that an operator requeued, each due since its time (epoch seconds)."""
    if since and (listeners := subscriptions(connection)):
        schedule_delay_notices(connection, listeners, since)


def rescheduled(connection: Connection, moved: Mapping[UUID, tuple[float, float]], now: float) -> None:
    """Publish `scheduled` and move the delay notices. `moved`: former and new due time by id (epoch seconds)."""
    if not moved or not (listeners := subscriptions(connection)):
        return
    _write_email_events(
        connection, listeners, {id: now for id, (_, to) in moved.items() if to > now}, EventType.SCHEDULED
    )
    _REMOVE_NOTICE.run(
        connection, [{"moment": at + DELAY_NOTICE_AFTER, "message": id} for id, (at, _) in moved.items()]
    )
    schedule_delay_notices(connection, listeners, {id: to for id, (_, to) in moved.items()})


def suppressed(
    connection: Connection, found: Mapping[UUID, Mapping[str, Listing]], moments: Mapping[UUID, float]
) -> None:
    """Publish each suppressed recipient of new messages. `moments`: by message, epoch seconds."""
    if found and (listeners := subscriptions(connection)):
        facts = _facts(connection, list(found), {}, ahead=False)
        events = (
            payload.suppressed_event(moments[one.id], one, address, listing)
            for one in facts
            for address, listing in found[one.id].items()
        )
        write_events(connection, listeners, events)


def ended(connection: Connection, moments: Mapping[UUID, float]) -> None:
    """Publish the end of messages that are stored as done or cancelled, by time (epoch seconds)."""
    if moments and (listeners := subscriptions(connection)):
        _write_email_events(connection, listeners, moments)


def delayed(
    connection: Connection, listeners: Subscriptions, moments: Mapping[UUID, float], why: Mapping[UUID, Explanation]
) -> None:
    """Publish delay events. `why` has explanations that the message itself does not contain."""
    _write_email_events(connection, listeners, moments, EventType.DELIVERY_DELAYED, why)


def delivery_changed(connection: Connection, reports: Mapping[UUID, Sequence[DeliveryReport]]) -> None:
    """Publish changed deliveries of recipients, by email."""
    if not reports or not (listeners := subscriptions(connection)):
        return
    facts = _facts(connection, list(reports), {}, ahead=False)
    events = (payload.delivery_event(report, one) for one in facts for report in reports[one.id])
    write_events(connection, listeners, [event for event in events if event is not None])


def mailbox_changed(
    connection: Connection,
    listeners: Subscriptions,
    name: str,
    pool: str,
    before: MailboxCondition | None,
    after: MailboxCondition,
) -> None:
    """Publish the change of a mailbox to or from HELD."""
    was_held = before is not None and before.health is Health.HELD
    is_held = after.health is Health.HELD
    if listeners and was_held is not is_held:
        kind = EventType.MAILBOX_HELD if is_held else EventType.MAILBOX_RELEASED
        write_events(connection, listeners, [payload.mailbox_event(kind, after.since, name, pool, after)])


def publish(connection: Connection, batch: Sequence[WebhookEvent]) -> list[None]:
    """Publish events that no other write publishes."""
    write_events(connection, subscriptions(connection), batch)
    return [None] * len(batch)


def schedule_delay_notices(connection: Connection, listeners: Subscriptions, since: Mapping[UUID, float]) -> None:
    """Schedule a delay notice for each message, DELAY_NOTICE_AFTER after its time."""
    if any(EventType.DELIVERY_DELAYED in listener.events for listener in listeners):
        _SCHEDULE_NOTICE.run(
            connection, [{"at": at + DELAY_NOTICE_AFTER, "message_id": id} for id, at in since.items()]
        )


def write_events(connection: Connection, listeners: Subscriptions, events: Iterable[WebhookEvent]) -> None:
    """Store each event that has subscribers, with a delivery for each of them."""
    subscribed = [(one, ids) for one in events if (ids := [to.id for to in listeners if one.type in to.events])]
    rows = [_event_row(one) for one, _ in subscribed]
    new = _EVENT.run_each(connection, rows)
    deliveries = [
        _delivery_row(one, row["id"], id)
        for (one, ids), row, is_new in zip(subscribed, rows, new, strict=True)
        if is_new
        for id in ids
    ]
    if deliveries:
        _DELIVERY.run(connection, deliveries)


def _write_email_events(
    connection: Connection,
    listeners: Subscriptions,
    moments: Mapping[UUID, float],
    kind: EventType | None = None,
    why: Mapping[UUID, Explanation] | None = None,
) -> None:
    facts = _facts(connection, list(moments), why or {}, ahead=kind is EventType.SCHEDULED) if moments else []
    write_events(connection, listeners, [payload.email_event(kind or _end(one), moments[one.id], one) for one in facts])


def _end(facts: EmailSnapshot) -> EventType:
    if facts.state is MessageState.CANCELLED:
        return EventType.CANCELED
    return EventType.SENT if facts.relayed else EventType.FAILED


def _facts(
    connection: Connection, ids: Sequence[UUID], why: Mapping[UUID, Explanation], *, ahead: bool
) -> list[EmailSnapshot]:
    """Return the messages in this order. `ahead`: their scheduled time is in the future."""
    to: dict[UUID, list[_EmailFacts]] = defaultdict(list)
    for row in connection.execute(_TO, {"ids": ids}):
        to[row.message_id].append((row.address, RecipientState(row.state), row.reply))
    rows = {row.id: row for row in connection.execute(_FACTS, {"ids": ids})}
    return [_fact(rows[id], to[id], why.get(id) or _explain(rows[id], to[id], ahead=ahead)) for id in ids]


def _explain(row: Row[*tuple[Any, ...]], to: Sequence[_EmailFacts], *, ahead: bool) -> Explanation:
    stored = Explanation(**row.explanation) if row.explanation else None
    relayed = is_relayed([state for _, state, _ in to])
    return explain(MessageState(row.state), stored, relayed=relayed, scheduled_at=row.scheduled_at if ahead else None)


def _fact(row: Row[*tuple[Any, ...]], to: Sequence[_EmailFacts], why: Explanation) -> EmailSnapshot:
    return EmailSnapshot(
        id=row.id,
        message_id=row.message_id,
        state=MessageState(row.state),
        created_at=row.created_at,
        scheduled_at=row.scheduled_at,
        sender=row.head["sender"],
        to=row.head["to"],
        subject=row.head["subject"],
        tags=[(name, value) for name, value in row.head["tags"]],
        headers=[(name, value) for name, value in row.head.get("headers", ())],
        mailbox=row.mailbox,
        attempts=row.attempts,
        possible_duplicate=row.possible_duplicate,
        recipients=to,
        explanation=fill_placeholders(why, {"id": str(row.id), **({"mailbox": row.mailbox} if row.mailbox else {})}),
    )


def _event_row(event: WebhookEvent) -> dict[str, Any]:
    return {
        "id": uuid7.new(event.at),
        "type": event.type,
        "at": event.at,
        "payload": event.payload,
        "once": event.deduplication_key,
    }


def _delivery_row(event: WebhookEvent, event_id: UUID, webhook_id: UUID) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "event_id": event_id,
        "subject": event.subject,
        "state": DeliveryState.PENDING,
        "next_at": event.at,
        "tries": 0,
        "history": [],
    }
