"""The lines in which events wait for each endpoint: taken, settled, put back in. At least once, in order per subject.

What is taken is due again when its lease ends, so nothing is lost with the process that took it. Only the first
pending event of a subject is given out; those behind it are put off until it is told or given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, update

from app.mail.webhook.rules import EventType
from app.store.db.prepared import PreparedStatement
from app.store.db.uuid7 import floor
from app.store.schema import FAILED_DELIVERY, PENDING_DELIVERY, webhook_deliveries, webhook_events, webhooks
from app.store.webhooks.records import ClaimedDelivery, DeliveryAttempt, DeliveryResult, DeliveryState, WebhookStatus

SCAN_LIMIT = 256  # deliveries in one claim, also of those that have to wait for another
BATCH_SIZE = 1000  # put back in one transaction: accepts wait for it
PRUNE_BATCH = 100  # the same for what is removed
HISTORY_LENGTH = 20  # tries of a delivery


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A wish for at most `limit` events of one endpoint. Times are epoch seconds."""

    webhook_id: UUID
    limit: int
    now: float
    lease_until: float


@dataclass(frozen=True, slots=True)
class ExpiredLeases:
    """What is taken, and whose lease ends by `until`. Times are epoch seconds."""

    now: float
    until: float


@dataclass(frozen=True, slots=True)
class Replay:
    """An event that is to be told to an endpoint again, whatever became of it."""

    webhook_id: UUID
    event_id: UUID
    now: float


@dataclass(frozen=True, slots=True)
class ReplayFailed:
    """All events since a moment that were given up for an endpoint. Times are epoch seconds."""

    webhook_id: UUID
    since: float
    now: float


_d, _e, _w = webhook_deliveries.c, webhook_events.c, webhooks.c
_earlier = webhook_deliveries.alias("earlier")
_THIS = _d.number == bindparam("of")
_OF_EVENT = (_d.webhook_id == bindparam("hook"), _d.event_id == bindparam("event"))
_FREE = _d.lease.is_(None)

_AHEAD = (  # when the last of those before it is due; NULL if it is the first of its subject
    select(func.max(_earlier.c.next_at))
    .where(
        _earlier.c.state == literal_column("'pending'"),  # as the index has it
        _earlier.c.webhook_id == _d.webhook_id,
        _earlier.c.subject == _d.subject,
        _earlier.c.number < _d.number,
    )
    .correlate(webhook_deliveries)
    .scalar_subquery()
)
_DUE = PreparedStatement(
    select(
        *(_d.number, _d.webhook_id, _d.event_id, _d.subject, _d.tries, _d.history),
        *(_e.type, _e.payload, _AHEAD.label("ahead")),
    )
    .join(webhook_events, _e.id == _d.event_id)
    .where(PENDING_DELIVERY, _d.webhook_id == bindparam("hook"), _d.next_at <= bindparam("now"))
    .order_by(_d.next_at, _d.number)
    .limit(bindparam("limit"))
    .with_for_update(of=webhook_deliveries, skip_locked=True)
)
_TAKE = PreparedStatement(update(webhook_deliveries).where(_THIS), sets=("lease", "next_at"))
_PUT_OFF = PreparedStatement(update(webhook_deliveries).where(_THIS), sets=("next_at",))
_SETTLE = PreparedStatement(
    update(webhook_deliveries).where(_THIS, _d.lease == bindparam("token")).values(lease=None),
    sets=("state", "next_at", "tries", "history"),
)
_NEXT_IN_LINE = PreparedStatement(
    update(webhook_deliveries).where(
        *(
            PENDING_DELIVERY,
            _d.webhook_id == bindparam("hook"),
            _d.subject == bindparam("about"),
            _d.number > bindparam("of"),
        ),
        _FREE,
    ),
    sets=("next_at",),
)
_DISABLE = (
    update(webhooks)
    .where(_w.id == bindparam("hook"), _w.status == WebhookStatus.ENABLED)
    .values(status=WebhookStatus.DISABLED, reason=bindparam("why"))
)
_ORPHANED = (
    update(webhook_deliveries)
    .where(
        *(PENDING_DELIVERY, _d.webhook_id.in_(select(_w.id)), _d.lease.is_not(None)),
        *(_d.next_at > bindparam("now"), _d.next_at <= bindparam("until")),
    )
    .values(lease=None, next_at=bindparam("now"))
)
_AGAIN = PreparedStatement(
    update(webhook_deliveries).where(*_OF_EVENT, _FREE).values(state=DeliveryState.PENDING, tries=0),
    sets=("next_at",),
)
_GIVEN_UP = PreparedStatement(
    select(_d.event_id)
    .where(FAILED_DELIVERY, _d.webhook_id == bindparam("hook"), _d.event_id >= bindparam("first"))
    .order_by(_d.event_id)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_ONE = select(_d.number).where(*_OF_EVENT)
_OLDEST = select(_d.number, _d.event_id).order_by(_d.number).limit(PRUNE_BATCH)
_OLD_EVENTS = select(_e.id).where(_e.id < bindparam("before")).order_by(_e.id).limit(PRUNE_BATCH)


def claim(connection: Connection, batch: Sequence[ClaimRequest]) -> list[list[ClaimedDelivery]]:
    """What each endpoint is to be told now, each under a lease."""
    return [_claim(connection, demand) for demand in batch]


def recover(connection: Connection, batch: Sequence[ExpiredLeases]) -> list[None]:
    """Put back what nobody holds any more: it is due at once."""
    for orphans in batch:
        connection.execute(_ORPHANED, {"now": orphans.now, "until": orphans.until})
    return [None] * len(batch)


def settle(connection: Connection, batch: Sequence[DeliveryResult]) -> list[bool]:
    """Whether each was still held; then how its try ended is written, and what waited for it is free."""
    held = _SETTLE.each(connection, [_settled_row(told) for told in batch])
    mine = [told for told, is_mine in zip(batch, held, strict=True) if is_mine]
    if mine:
        _NEXT_IN_LINE.run(connection, [_next_row(told) for told in mine])
    for told in mine:
        if told.disable_reason is not None:
            connection.execute(_DISABLE, {"hook": told.delivery.webhook_id, "why": told.disable_reason})
    return held


def replay(connection: Connection, batch: Sequence[Replay]) -> list[bool]:
    """Whether there is such an event; then it is due now. One that is under way goes its way."""
    return [_replay(connection, one) for one in batch]


def replay_failed(connection: Connection, batch: Sequence[ReplayFailed]) -> list[int]:
    """Requeue up to BATCH_SIZE failed deliveries of each; return their numbers."""
    return [_replay_failed(connection, one) for one in batch]


def prune(connection: Connection, before: float) -> int:
    """Remove a few events from before that moment (epoch seconds), with what is left of their lines; how many."""
    least = floor(before)
    old = [row.number for row in connection.execute(_OLDEST) if row.event_id < least]
    if old:
        connection.execute(delete(webhook_deliveries).where(_d.number.in_(old)))
    ids = list(connection.execute(_OLD_EVENTS, {"before": least}).scalars())
    if ids:
        connection.execute(delete(webhook_events).where(_e.id.in_(ids)))
    return max(len(old), len(ids))


def parse_history(history: Sequence[Sequence[Any]]) -> tuple[DeliveryAttempt, ...]:
    """From the stored form."""
    return tuple(DeliveryAttempt(at, status, answer) for at, status, answer in history)


def _claim(connection: Connection, demand: ClaimRequest) -> list[ClaimedDelivery]:
    """Every row that is looked at is no longer due afterwards, so this comes to an end."""
    taken: list[ClaimedDelivery] = []
    looked_at = 0
    while len(taken) < demand.limit and looked_at < SCAN_LIMIT:
        values = {"hook": demand.webhook_id, "now": demand.now, "limit": demand.limit - len(taken)}
        rows = _DUE.all(connection, values)
        if not rows:
            break
        looked_at += len(rows)
        first = [_due(row) for row in rows if row.ahead is None]
        behind = [row for row in rows if row.ahead is not None]
        until = demand.lease_until
        if first:
            _TAKE.run(connection, [{"of": one.number, "lease": one.lease, "next_at": until} for one in first])
        if behind:
            _PUT_OFF.run(connection, [{"of": row.number, "next_at": max(row.ahead, until)} for row in behind])
        taken += first
    return taken


def _due(row: Any) -> ClaimedDelivery:
    return ClaimedDelivery(
        number=row.number,
        lease=uuid4(),
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        subject=row.subject,
        tries=row.tries,
        history=parse_history(row.history),
        type=EventType(row.type),
        payload=row.payload,
    )


def _settled_row(told: DeliveryResult) -> dict[str, Any]:
    state = DeliveryState.DELIVERED if told.delivered else DeliveryState.FAILED
    history = [*told.delivery.history, told.attempt][-HISTORY_LENGTH:]
    return {
        "of": told.delivery.number,
        "token": told.delivery.lease,
        "state": state if told.next_at is None else DeliveryState.PENDING,
        "next_at": told.attempt.at if told.next_at is None else told.next_at,
        "tries": told.delivery.tries + 1,
        "history": [[one.at, one.status, one.response] for one in history],
    }


def _next_row(told: DeliveryResult) -> dict[str, Any]:
    due = told.delivery
    when = told.attempt.at if told.next_at is None else told.next_at
    return {"hook": due.webhook_id, "about": due.subject, "of": due.number, "next_at": when}


def _replay(connection: Connection, one: Replay) -> bool:
    values = {"hook": one.webhook_id, "event": one.event_id}
    (changed,) = _AGAIN.each(connection, [{**values, "next_at": one.now}])
    return changed or connection.execute(_ONE, values).first() is not None


def _replay_failed(connection: Connection, one: ReplayFailed) -> int:
    rows = _GIVEN_UP.all(connection, {"hook": one.webhook_id, "first": floor(one.since)})
    if rows:
        again = [{"hook": one.webhook_id, "event": row.event_id, "next_at": one.now} for row in rows]
        _AGAIN.run(connection, again)
    return len(rows)
