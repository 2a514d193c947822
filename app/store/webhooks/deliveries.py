"""Queues of webhook deliveries, one per endpoint: claim, settle, recover, replay.

Delivery is at least once, in order per subject. A claimed delivery is due again when its lease expires,
so none is lost with the process that claimed it. Only the first pending delivery of a subject is claimed; the later
ones are postponed until it is delivered or given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, func, literal_column, select, update

from app.mail.webhook.rules import EventType
from app.store.db.dialect import execute_many
from app.store.db.uuid7 import first_at
from app.store.db.writer import per_argument
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction
from app.store.schema import FAILED_DELIVERY, PENDING_DELIVERY, webhook_deliveries, webhook_events, webhooks
from app.store.webhooks.records import ClaimedDelivery, DeliveryAttempt, DeliveryResult, DeliveryState, WebhookStatus

SCAN_LIMIT = 256  # deliveries read in one claim, with the postponed ones
BATCH_SIZE = 1000  # deliveries requeued in one transaction: accepts wait for it
HISTORY_LENGTH = 20  # attempts stored of a delivery


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """Request for at most `limit` deliveries of one endpoint. Times are epoch seconds."""

    webhook_id: UUID
    limit: int
    now: float
    lease_until: float


@dataclass(frozen=True, slots=True)
class ExpiredDeliveryLeases:
    """Selection of the claimed deliveries whose lease ends by `until`. Times are epoch seconds."""

    now: float
    until: float


@dataclass(frozen=True, slots=True)
class Replay:
    """Request to deliver an event to an endpoint again at `now` (epoch seconds), whatever its state."""

    webhook_id: UUID
    event_id: UUID
    now: float
    by: Actor | None = None  # for the audit; None: no entry


@dataclass(frozen=True, slots=True)
class ReplayFailed:
    """Request to deliver all failed events since `since` again. Times are epoch seconds."""

    webhook_id: UUID
    since: float
    now: float


_d, _e, _w = webhook_deliveries.c, webhook_events.c, webhooks.c
_earlier = webhook_deliveries.alias("earlier")
_THIS = _d.number == bindparam("delivery")
_OF_EVENT = (_d.webhook_id == bindparam("webhook"), _d.event_id == bindparam("event"))
_FREE = _d.lease.is_(None)

_AHEAD = (  # due time of the last earlier delivery of its subject; NULL: there is none
    select(func.max(_earlier.c.next_at))
    .where(
        _earlier.c.state == literal_column("'pending'"),  # written out as in the index
        _earlier.c.webhook_id == _d.webhook_id,
        _earlier.c.subject == _d.subject,
        _earlier.c.number < _d.number,
    )
    .correlate(webhook_deliveries)
    .scalar_subquery()
)
_DUE = (
    select(
        *(_d.number, _d.webhook_id, _d.event_id, _d.subject, _d.tries, _d.history),
        *(_e.type, _e.payload, _AHEAD.label("ahead")),
    )
    .join(webhook_events, _e.id == _d.event_id)
    .where(PENDING_DELIVERY, _d.webhook_id == bindparam("webhook"), _d.next_at <= bindparam("now"))
    .order_by(_d.next_at, _d.number)
    .limit(bindparam("limit"))
    .with_for_update(of=webhook_deliveries, skip_locked=True)
)
_CHANGE = update(webhook_deliveries).where(_THIS)
_SETTLE = update(webhook_deliveries).where(_THIS, _d.lease == bindparam("token")).values(lease=None)
_NEXT_OF_SUBJECT = update(webhook_deliveries).where(
    *(PENDING_DELIVERY, _d.webhook_id == bindparam("webhook"), _d.subject == bindparam("about")),
    *(_d.number > bindparam("delivery"), _FREE),
)
_DISABLE = (
    update(webhooks)
    .where(_w.id == bindparam("webhook"), _w.status == WebhookStatus.ENABLED)
    .values(status=WebhookStatus.DISABLED, reason=bindparam("why"))
)
_RECOVER = (
    update(webhook_deliveries)
    .where(
        *(PENDING_DELIVERY, _d.webhook_id.in_(select(_w.id)), _d.lease.is_not(None)),
        *(_d.next_at > bindparam("now"), _d.next_at <= bindparam("until")),
    )
    .values(lease=None, next_at=bindparam("now"))
)
_REPLAY = update(webhook_deliveries).where(*_OF_EVENT, _FREE).values(state=DeliveryState.PENDING, tries=0)
_FAILED = (
    select(_d.event_id)
    .where(FAILED_DELIVERY, _d.webhook_id == bindparam("webhook"), _d.event_id >= bindparam("first"))
    .order_by(_d.event_id)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_ONE = select(_d.number).where(*_OF_EVENT)


@per_argument
def claim(connection: Connection, request: DeliveryClaim) -> list[ClaimedDelivery]:
    """Claim the first due deliveries of their subjects, each under a lease until `lease_until`; postpone the others.

    No row read stays due, so the loop ends.
    """
    claimed: list[ClaimedDelivery] = []
    scanned = 0
    while len(claimed) < request.limit and scanned < SCAN_LIMIT:
        values = {"webhook": request.webhook_id, "now": request.now, "limit": request.limit - len(claimed)}
        rows = connection.execute(_DUE, values).all()
        if not rows:
            break
        scanned += len(rows)
        first = [_due(row) for row in rows if row.ahead is None]
        later = [row for row in rows if row.ahead is not None]
        until = request.lease_until
        execute_many(
            connection, _CHANGE, [{"delivery": one.number, "lease": one.lease, "next_at": until} for one in first]
        )
        execute_many(connection, _CHANGE, [{"delivery": row.number, "next_at": max(row.ahead, until)} for row in later])
        claimed += first
    return claimed


@per_argument
def recover(connection: Connection, expired: ExpiredDeliveryLeases) -> None:
    """Release the deliveries whose lease ends by `until`: they are due now. Only if no other process dispatches."""
    connection.execute(_RECOVER, {"now": expired.now, "until": expired.until})


def settle(connection: Connection, batch: Sequence[DeliveryResult]) -> list[bool]:
    """Write the results and release the later deliveries of the subject; return for each whether its lease was held.

    If not, nothing of it is written.
    """
    held = [connection.execute(_SETTLE, _settled_row(result)).rowcount == 1 for result in batch]
    for result in (result for result, is_held in zip(batch, held, strict=True) if is_held):
        connection.execute(_NEXT_OF_SUBJECT, _next_row(result))
        if result.disable_reason is not None:
            connection.execute(_DISABLE, {"webhook": result.delivery.webhook_id, "why": result.disable_reason})
    return held


@per_argument
def replay(connection: Connection, request: Replay) -> bool:
    """Make a delivery due now, under the same id; return whether it exists. One under way is not changed."""
    values = {"webhook": request.webhook_id, "event": request.event_id}
    changed = connection.execute(_REPLAY, {**values, "next_at": request.now}).rowcount == 1
    if changed:
        details = {"event": str(request.event_id)}
        audit.write_change(
            connection, AuditAction.WEBHOOK_REPLAYED, request.webhook_id, request.now, request.by, details
        )
    return changed or connection.execute(_ONE, values).first() is not None


@per_argument
def replay_failed(connection: Connection, request: ReplayFailed) -> int:
    """Requeue up to BATCH_SIZE failed deliveries; return their number."""
    ids = connection.execute(_FAILED, {"webhook": request.webhook_id, "first": first_at(request.since)}).scalars().all()
    execute_many(
        connection, _REPLAY, [{"webhook": request.webhook_id, "event": id, "next_at": request.now} for id in ids]
    )
    return len(ids)


def parse_history(history: Sequence[Sequence[Any]]) -> tuple[DeliveryAttempt, ...]:
    """Return the attempts from their stored form."""
    return tuple(DeliveryAttempt(at, status, answer) for at, status, answer in history)


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


def _settled_row(result: DeliveryResult) -> dict[str, Any]:
    state = DeliveryState.DELIVERED if result.delivered else DeliveryState.FAILED
    history = [*result.delivery.history, result.attempt][-HISTORY_LENGTH:]
    return {
        "delivery": result.delivery.number,
        "token": result.delivery.lease,
        "state": state if result.next_at is None else DeliveryState.PENDING,
        "next_at": _next_at(result),
        "tries": result.delivery.tries + 1,
        "history": [[one.at, one.status, one.response] for one in history],
    }


def _next_row(result: DeliveryResult) -> dict[str, Any]:
    done = result.delivery
    return {"webhook": done.webhook_id, "about": done.subject, "delivery": done.number, "next_at": _next_at(result)}


def _next_at(result: DeliveryResult) -> float:
    return result.attempt.at if result.next_at is None else result.next_at
