"""Webhook endpoints: create, change, remove, and list with their deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from app.mail.times import iso
from app.mail.webhook.rules import EventType
from app.store.db.writer import per_argument
from app.store.keys import audit
from app.store.keys.audit import AuditAction
from app.store.records import LAST_ID
from app.store.schema import FAILED_DELIVERY, PENDING_DELIVERY, webhook_deliveries, webhook_events, webhooks
from app.store.webhooks.deliveries import parse_history
from app.store.webhooks.records import (
    Delivery,
    DeliveryState,
    NewWebhook,
    Removal,
    Revision,
    Rotation,
    Secret,
    Webhook,
    WebhookStatus,
)

MAX_OLD_SECRETS = 4  # replaced secrets that also sign: more would make the signature header too long

_w, _d, _e = webhooks.c, webhook_deliveries.c, webhook_events.c

_THIS = _w.id == bindparam("webhook")
_INSERT = insert(webhooks)
_UPDATE = update(webhooks).where(_THIS)
_DELETE = delete(webhooks).where(_THIS)
_ALL = select(webhooks).order_by(_w.created_at.desc(), _w.id.desc())
_ONE = select(webhooks).where(_w.id == bindparam("id"))
_WITH_WORK = select(webhooks).where(
    _w.status == WebhookStatus.ENABLED,
    exists().where(PENDING_DELIVERY, _d.webhook_id == _w.id, _d.next_at <= bindparam("now")),
)
_DELIVERIES = select(
    *(_d.event_id, _d.state, _d.tries, _d.next_at, _d.history, _e.type, _e.at, _e.payload),
).join(webhook_events, _e.id == _d.event_id)
_NEWEST = (
    _DELIVERIES.where(_d.webhook_id == bindparam("id"), _d.event_id < bindparam("before"))
    .order_by(_d.event_id.desc())
    .limit(bindparam("limit"))
)
_FAILED = _NEWEST.where(FAILED_DELIVERY)
_NEXT = (
    _DELIVERIES.where(PENDING_DELIVERY, _d.webhook_id == bindparam("id"))
    .order_by(_d.next_at, _d.number)
    .limit(bindparam("limit"))
)
_DELIVERY = _DELIVERIES.where(_d.webhook_id == bindparam("id"), _d.event_id == bindparam("event"))


@per_argument
def create(connection: Connection, new: NewWebhook) -> None:
    """Store an endpoint. It receives the events from now on."""
    webhook = new.webhook
    connection.execute(_INSERT, _values(webhook))
    details = _audited_fields(webhook)
    audit.write_change(connection, AuditAction.WEBHOOK_CREATED, webhook.id, webhook.created_at, new.by, details)


@per_argument
def revise(connection: Connection, revision: Revision) -> bool:
    """Change an endpoint; return whether it exists. Pending deliveries of an enabled one are sent."""
    row = connection.execute(_ONE.with_for_update(), {"id": revision.id}).one_or_none()
    if row is None:
        return False
    before = _webhook(row)
    given: dict[str, Any] = {"endpoint": revision.endpoint, "events": revision.events, "status": revision.status}
    after = replace(before, **{name: value for name, value in given.items() if value is not None})
    if revision.status is not None:
        after = replace(after, reason=None)
    if after != before:
        connection.execute(_UPDATE.values(_values(after)), {"webhook": revision.id})
        changed = audit.difference(_audited_fields(before), _audited_fields(after))
        if after.endpoint != before.endpoint:
            changed.setdefault("endpoint", _audited_fields(after)["endpoint"])
        audit.write_change(connection, AuditAction.WEBHOOK_UPDATED, revision.id, revision.now, revision.by, changed)
    return True


@per_argument
def rotate(connection: Connection, rotation: Rotation) -> bool:
    """Give an endpoint a new secret; return whether it exists. Old secrets also sign until `until`."""
    row = connection.execute(_ONE.with_for_update(), {"id": rotation.id}).one_or_none()
    if row is None:
        return False
    old = [
        Secret(secret.value, min(rotation.until, secret.until or rotation.until)) for secret in _secrets(row.secrets)
    ]
    alive = [secret for secret in old if secret.until is not None and secret.until > rotation.now][:MAX_OLD_SECRETS]
    connection.execute(_UPDATE.values(secrets=_stored([Secret(rotation.secret), *alive])), {"webhook": rotation.id})
    details = {"old_secret_until": iso(rotation.until)}
    audit.write_change(connection, AuditAction.WEBHOOK_ROTATED, rotation.id, rotation.now, rotation.by, details)
    return True


@per_argument
def remove(connection: Connection, removal: Removal) -> bool:
    """Remove an endpoint; return whether it existed. Its deliveries are pruned later."""
    row = connection.execute(_ONE.with_for_update(), {"id": removal.id}).one_or_none()
    if row is None:
        return False
    connection.execute(_DELETE, {"webhook": removal.id})
    details = _audited_fields(_webhook(row))
    audit.write_change(connection, AuditAction.WEBHOOK_REMOVED, removal.id, removal.now, removal.by, details)
    return True


def list_all(connection: Connection) -> list[Webhook]:
    """Return all endpoints, the newest first, with the disabled ones."""
    return [_webhook(row) for row in connection.execute(_ALL)]


def find(connection: Connection, id: UUID) -> Webhook | None:
    """Return one endpoint; None if there is none."""
    row = connection.execute(_ONE, {"id": id}).one_or_none()
    return None if row is None else _webhook(row)


def with_work(connection: Connection, now: float) -> list[Webhook]:
    """Return the enabled endpoints with due deliveries."""
    return [_webhook(row) for row in connection.execute(_WITH_WORK, {"now": now})]


def deliveries(
    connection: Connection, id: UUID, before: UUID | None, limit: int, *, failed: bool = False
) -> list[Delivery]:
    """Return up to `limit` deliveries of an endpoint, or only failed ones, the newest first.

    `before`: only those of events that are older than this one.
    """
    values = {"id": id, "before": before or LAST_ID, "limit": limit}
    return [_delivery(row) for row in connection.execute(_FAILED if failed else _NEWEST, values)]


def next_deliveries(connection: Connection, id: UUID, limit: int) -> list[Delivery]:
    """Return up to `limit` pending deliveries of an endpoint, in the order of their next attempt."""
    return [_delivery(row) for row in connection.execute(_NEXT, {"id": id, "limit": limit})]


def delivery(connection: Connection, id: UUID, event_id: UUID) -> Delivery | None:
    """Return the delivery of one event to one endpoint; None if there is none."""
    row = connection.execute(_DELIVERY, {"id": id, "event": event_id}).one_or_none()
    return None if row is None else _delivery(row)


def _audited_fields(webhook: Webhook) -> Mapping[str, Any]:
    """Return the values for the audit. Of the URL only the server, because the rest may contain secrets."""
    parts = urlsplit(webhook.endpoint)
    return {"endpoint": f"{parts.scheme}://{parts.netloc}", "events": [*webhook.events], "status": webhook.status}


def _values(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "endpoint": webhook.endpoint,
        "events": list(webhook.events),
        "status": webhook.status,
        "reason": webhook.reason,
        "created_at": webhook.created_at,
        "secrets": _stored(webhook.secrets),
    }


def _stored(secrets: Sequence[Secret]) -> list[list[Any]]:
    return [[secret.value, secret.until] for secret in secrets]


def _secrets(stored: Sequence[Sequence[Any]]) -> tuple[Secret, ...]:
    return tuple(Secret(value, until) for value, until in stored)


def _webhook(row: Row[*tuple[Any, ...]]) -> Webhook:
    return Webhook(
        id=row.id,
        endpoint=row.endpoint,
        events=tuple(row.events),
        created_at=row.created_at,
        secrets=_secrets(row.secrets),
        status=WebhookStatus(row.status),
        reason=row.reason,
    )


def _delivery(row: Row[*tuple[Any, ...]]) -> Delivery:
    state = DeliveryState(row.state)
    return Delivery(
        event_id=row.event_id,
        type=EventType(row.type),
        at=row.at,
        state=state,
        tries=row.tries,
        next_at=row.next_at if state is DeliveryState.PENDING else None,
        history=parse_history(row.history),
        payload=row.payload,
    )
