"""Conditions of the mailboxes, which survive restarts, and hold requests of operators."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.store.db.dialect import upsert
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.mailboxes.ownership import ALIVE
from app.store.mailboxes.records import HoldRequest, MailboxRecord
from app.store.schema import mailboxes, owners, replicas
from app.store.webhooks import outbox


@dataclass(frozen=True, slots=True)
class SaveCondition:
    """Condition of a mailbox. `fulfilled_request`: time of the hold request that led to it; None: there was none."""

    name: str
    pool: str
    condition: MailboxCondition
    fulfilled_request: float | None = None


@dataclass(frozen=True, slots=True)
class RequestHold:
    """Hold request of an operator for a mailbox."""

    name: str
    request: HoldRequest
    by: Actor | None = None  # for the audit; None: no entry


_b = mailboxes.c
_OWNER = (
    select(replicas.c.name)
    .join(owners, owners.c.replica == replicas.c.id)
    .where(owners.c.mailbox == _b.name, ALIVE)
    .correlate(mailboxes)
    .scalar_subquery()
    .label("owner")
)
_ALL = select(mailboxes, _OWNER).order_by(_b.name)
_ONE = select(mailboxes, _OWNER).where(_b.name == bindparam("name"))
_REQUESTS = select(_b.name, _b.wish_at, _b.wish_hold, _b.wish_reason).where(_b.wish_at.is_not(None))
_FULFIL = (
    update(mailboxes)
    .where(_b.name == bindparam("mailbox_name"), _b.wish_at == bindparam("fulfilled_request"))
    .values(wish_at=None)
)
_REQUEST = update(mailboxes).where(_b.name == bindparam("mailbox_name"))


def save_condition(connection: Connection, batch: Sequence[SaveCondition]) -> list[None]:
    """Store conditions; the fulfilled request is removed, a newer one stays."""
    listeners = outbox.subscriptions(connection)
    for one in batch:
        before = find(connection, one.name) if listeners else None
        values = {"name": one.name, "pool": one.pool, **_columns(one.condition)}
        statement = upsert(connection.dialect.name, mailboxes).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=[_b.name], set_=values))
        if one.fulfilled_request is not None:
            connection.execute(_FULFIL, {"mailbox_name": one.name, "fulfilled_request": one.fulfilled_request})
        was = before.condition if before else None
        outbox.mailbox_changed(connection, listeners, one.name, one.pool, was, one.condition)
    return [None] * len(batch)


def hold_requests(connection: Connection) -> dict[str, HoldRequest]:
    """Return by mailbox the hold requests that are not fulfilled yet."""
    return {name: HoldRequest(at, hold, reason) for name, at, hold, reason in connection.execute(_REQUESTS)}


def request_hold(connection: Connection, batch: Sequence[RequestHold]) -> list[bool]:
    """Store hold requests, for which the relays poll; return for each whether there is such a mailbox."""
    known = [connection.execute(_REQUEST, _request_columns(one)).rowcount == 1 for one in batch]
    audit.write(connection, [_entry(one) for one, is_known in zip(batch, known, strict=True) if is_known])
    return known


def list_all(connection: Connection) -> list[MailboxRecord]:
    """Return all mailboxes that ever relayed, by name."""
    return [_record(row) for row in connection.execute(_ALL)]


def find(connection: Connection, name: str) -> MailboxRecord | None:
    """Return one mailbox; None if it never relayed."""
    row = connection.execute(_ONE, {"name": name}).one_or_none()
    return None if row is None else _record(row)


def _entry(hold: RequestHold) -> Entry | None:
    if hold.by is None:
        return None
    action = AuditAction.MAILBOX_HELD if hold.request.hold else AuditAction.MAILBOX_RELEASED
    return Entry(
        hold.request.at,
        hold.by,
        action,
        hold.name,
        {"reason": hold.request.reason} if hold.request.reason else {},
    )


def _columns(condition: MailboxCondition) -> dict[str, Any]:
    columns = asdict(condition)
    columns["rest"], columns["entering"] = columns.pop("cooldown"), columns.pop("during_login")
    return {
        **columns,
        "health": str(condition.health),
        "explanation": asdict(condition.explanation) if condition.explanation else None,
    }


def _request_columns(hold: RequestHold) -> dict[str, Any]:
    return {
        "mailbox_name": hold.name,
        "wish_at": hold.request.at,
        "wish_hold": hold.request.hold,
        "wish_reason": hold.request.reason,
    }


def _record(row: Row[*tuple[Any, ...]]) -> MailboxRecord:
    condition = MailboxCondition(
        health=Health(row.health),
        since=row.since,
        until=row.until,
        cooldown=row.rest,
        explanation=Explanation(**row.explanation) if row.explanation else None,
        refusals=row.refusals,
        during_login=row.entering,
        connections=row.connections,
        grows_at=row.grows_at,
    )
    request = None if row.wish_at is None else HoldRequest(row.wish_at, row.wish_hold, row.wish_reason)
    return MailboxRecord(row.name, row.pool, condition, request, row.owner)
