"""Audit of changes and refusals, with its values: write in the transaction of the change, read by pages.

Equal refusals of a key are one row for each period, with a count, so that many refusals do not make many rows. Times
are epoch seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, case, insert, select

from app.store.db import uuid7
from app.store.db.dialect import upsert
from app.store.records import FIRST_ID, LAST_ID
from app.store.schema import audit


class AuditAction(StrEnum):
    """Action that the audit records."""

    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    MAILBOX_HELD = "mailbox.held"
    MAILBOX_RELEASED = "mailbox.released"
    EMAIL_RETRIED = "email.retried"
    EMAIL_CONFIRMED = "email.confirmed"
    EMAIL_CANCELED = "email.canceled"
    EMAIL_ERASED = "email.erased"
    EMAIL_CONTENT_READ = "email.content_read"
    EMAIL_RESCHEDULED = "email.rescheduled"
    EMAIL_TESTED = "email.tested"
    SUPPRESSION_ADDED = "suppression.added"
    SUPPRESSION_REMOVED = "suppression.removed"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_REMOVED = "webhook.removed"
    WEBHOOK_REPLAYED = "webhook.replayed"
    DATABASE_RESTORED = "database.restored"
    SEND_REFUSED = "send.refused"


@dataclass(frozen=True, slots=True)
class Actor:
    """Originator of a change: an API key with its id, or another named source, such as the command line."""

    name: str
    key_id: UUID | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One action, and the `subject` that was changed."""

    at: float
    by: Actor
    action: AuditAction
    subject: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CountedEntry:
    """Equal refusals of a key, `times` times until `last_at`. `period` identifies them and the hour."""

    entry: Entry
    last_at: float
    times: int
    period: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Filter of entries; an empty value matches all. `actor` is a part of the name, `subject` its beginning.

    Entries have ids from `start` on, and before `end`.
    """

    action: str = ""
    actor: str = ""
    subject: str = ""
    start: UUID = FIRST_ID
    end: UUID = LAST_ID


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A stored entry: it happened `times` times, first at the entry's time and last at `last_at`."""

    id: UUID
    entry: Entry
    last_at: float
    times: int


_a = audit.c
_PAGE = (
    select(audit)
    .where(_a.id >= bindparam("start"), _a.id < bindparam("before"))
    .order_by(_a.id.desc())
    .limit(bindparam("limit"))
)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that changed, each with the former one."""
    return {name: {"before": before[name], "after": value} for name, value in after.items() if value != before[name]}


def write_change(
    connection: Connection, action: AuditAction, id: UUID, now: float, by: Actor | None, details: Mapping[str, Any]
) -> None:
    """Write the entry of a change; nothing without an actor."""
    if by is not None:
        write(connection, [Entry(now, by, action, str(id), details)])


def write(connection: Connection, entries: Iterable[Entry | None]) -> None:
    """Write the entries; None is skipped."""
    rows = [_row(one, one.at, 1, None) for one in entries if one is not None]
    if rows:
        connection.execute(insert(audit), rows)


def record(connection: Connection, batch: Sequence[Entry]) -> list[None]:
    """Write entries about what changes nothing else in the store."""
    write(connection, batch)
    return [None] * len(batch)


def record_refusals(connection: Connection, batch: Sequence[Sequence[CountedEntry]]) -> list[None]:
    """Add each refusal to the row of its period, or insert that row."""
    statement = upsert(connection.dialect.name, audit)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[_a.once],
        set_={
            "times": _a.times + new.times,
            "last_at": case((_a.last_at < new.last_at, new.last_at), else_=_a.last_at),
        },
    )
    # Sorted, so that two processes lock rows in the same order.
    refusals = [one for part in batch for one in part]
    for one in sorted(refusals, key=lambda refusal: refusal.period):
        connection.execute(statement, _row(one.entry, one.last_at, one.times, one.period))
    return [None] * len(batch)


def page(
    connection: Connection,
    before: UUID | None,
    limit: int,
    asked: AuditFilter = AuditFilter(),
) -> list[AuditRecord]:
    """Return up to `limit` entries that match, the newest first; with `before`, those older than this entry."""
    matches = (
        (asked.action, _a.action == asked.action),
        (asked.actor, _a.actor.icontains(asked.actor, autoescape=True)),
        (asked.subject, _a.subject.istartswith(asked.subject, autoescape=True)),
    )
    rows = _PAGE.where(*(condition for given, condition in matches if given))
    values = {"start": asked.start, "before": min(before or LAST_ID, asked.end), "limit": limit}
    return [_record(row) for row in connection.execute(rows, values)]


def _row(entry: Entry, last_at: float, times: int, once: str | None) -> dict[str, Any]:
    return {
        "id": uuid7.new(entry.at),
        "at": entry.at,
        "last_at": last_at,
        "times": times,
        "actor": entry.by.name,
        "key_id": entry.by.key_id,
        "action": entry.action,
        "subject": entry.subject,
        "details": dict(entry.details),
        "request_id": entry.by.request_id,
        "once": once,
    }


def _record(row: Row[*tuple[Any, ...]]) -> AuditRecord:
    by = Actor(row.actor, row.key_id, row.request_id)
    entry = Entry(row.at, by, AuditAction(row.action), row.subject, row.details)
    return AuditRecord(row.id, entry, row.last_at, row.times)
