"""Removal of old data: contents, later the remaining rows of a message, Idempotency-Keys, webhook events, the audit,
expired suppressions, and bounces too old to count.

A step is small, because accepts wait for it. Messages that have not ended, and rows that another transaction has
locked, are never removed. On PostgreSQL one process prunes at a time.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    select,
    text,
    update,
)

from app.frozen import frozen
from app.mail.suppression import BOUNCE_WINDOW
from app.store import email_counts
from app.store.db.dialect import execute_many
from app.store.db.uuid7 import first_at
from app.store.db.writer import per_argument
from app.store.queue.accept import IDEMPOTENCY_RETENTION
from app.store.schema import (
    CONTENT_REMOVED,
    ENDED_WITH_CONTENT,
    attempts,
    audit,
    contents,
    idempotency,
    messages,
    recipients,
    suppression_candidates,
    suppressions,
    traces,
    webhook_deliveries,
    webhook_events,
)

BATCH_SIZE = 50  # rows in one step
BATCH_BYTES = 4 * 1024 * 1024  # bytes of contents in one step; one larger message is a step of its own
PRUNE_LOCK = 0x70727565  # PostgreSQL's advisory locks are numbers; this one is unique in Postern


@frozen
class RetentionCutoffs:
    """Times (epoch seconds) by which data must have ended or happened to be removed at `now`.

    `batch_bytes` limits the contents of one step.
    """

    now: float
    contents: float
    messages: float
    events: float  # webhook events
    audit: float = 0.0
    batch_bytes: int = BATCH_BYTES


_m = messages.c


def _ended(state: ColumnElement[bool], *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    return (
        select(*columns)
        .where(state, _m.ended_at <= bindparam("before"))
        .order_by(_m.ended_at)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)
    )


_WITH_CONTENT = _ended(ENDED_WITH_CONTENT, _m.id, _m.size)
_WITHOUT_CONTENT = _ended(CONTENT_REMOVED, _m.id)
_REMOVE_CONTENT = delete(contents).where(contents.c.message_id == bindparam("message"))
_MARK = update(messages).where(_m.id == bindparam("message"))
_REMOVE = tuple(  # in this order, so that no foreign key causes another search
    delete(table).where(column == bindparam("message"))
    for table, column in (
        (traces, traces.c.message_id),
        (recipients, recipients.c.message_id),
        (attempts, attempts.c.message_id),
        (messages, _m.id),
    )
)


class _OldRows:
    """Rows of a table that are removed once a column is before a limit, in the order of the column."""

    def __init__(self, column: Column[Any], is_old: ColumnElement[bool]) -> None:
        """`is_old` compares the column with the parameter `before`."""
        self._keys = [*column.table.primary_key]
        self._find = (
            select(*self._keys).where(is_old).order_by(column).limit(BATCH_SIZE).with_for_update(skip_locked=True)
        )
        self._remove = delete(column.table).where(*(key == bindparam(f"old_{key.name}") for key in self._keys))

    def remove(self, connection: Connection, before: float | UUID) -> int:
        """Remove up to BATCH_SIZE rows; return their number."""
        found = connection.execute(self._find, {"before": before}).all()
        names = [f"old_{key.name}" for key in self._keys]
        execute_many(connection, self._remove, [dict(zip(names, row, strict=True)) for row in found])
        return len(found)


_OLDEST_DELIVERIES = (
    select(webhook_deliveries.c.number, webhook_deliveries.c.event_id)
    .order_by(webhook_deliveries.c.number)
    .limit(BATCH_SIZE)
)
_REMOVE_DELIVERY = delete(webhook_deliveries).where(webhook_deliveries.c.number == bindparam("delivery"))
_BEFORE: BindParameter[Any] = bindparam("before")
_IDEMPOTENCY_KEYS = _OldRows(idempotency.c.created_at, idempotency.c.created_at <= _BEFORE)
_WEBHOOK_EVENTS = _OldRows(webhook_events.c.id, webhook_events.c.id < _BEFORE)
_AUDIT = _OldRows(audit.c.id, audit.c.id < _BEFORE)
_SUPPRESSIONS = _OldRows(suppressions.c.expires_at, suppressions.c.expires_at <= _BEFORE)
_BOUNCES = _OldRows(suppression_candidates.c.at, suppression_candidates.c.at <= _BEFORE)


@per_argument
def prune(connection: Connection, cutoffs: RetentionCutoffs) -> int:
    """Run one step; return the number of rows removed or emptied, up to BATCH_SIZE.

    Call it until it returns 0: nothing is left, or another process prunes.
    """
    if not _lock(connection):
        return 0
    return (
        _remove_contents(connection, cutoffs)
        or _remove_messages(connection, cutoffs)
        or _IDEMPOTENCY_KEYS.remove(connection, cutoffs.now - IDEMPOTENCY_RETENTION)
        or _remove_deliveries(connection, first_at(cutoffs.events))
        or _WEBHOOK_EVENTS.remove(connection, first_at(cutoffs.events))
        or _AUDIT.remove(connection, first_at(cutoffs.audit))
        or _SUPPRESSIONS.remove(connection, cutoffs.now)
        or _BOUNCES.remove(connection, cutoffs.now - BOUNCE_WINDOW)
    )


def bounded(rows: Sequence[Row[*tuple[Any, ...]]], max_bytes: int = BATCH_BYTES) -> list[Row[*tuple[Any, ...]]]:
    """Return the first rows of messages, up to BATCH_SIZE rows and `max_bytes` of content, but at least one."""
    sums = accumulate(row.size for row in rows)
    return [row for row, so_far in zip(rows[:BATCH_SIZE], sums, strict=False) if so_far <= max_bytes or row is rows[0]]


def _lock(connection: Connection) -> bool:
    """Lock until the end of the transaction; False if another process has the lock. SQLite has one writer anyway."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": PRUNE_LOCK}).scalar())


def _remove_contents(connection: Connection, cutoffs: RetentionCutoffs) -> int:
    found = connection.execute(_WITH_CONTENT, {"before": cutoffs.contents}).all()
    rows = [{"message": row.id} for row in bounded(found, cutoffs.batch_bytes)]
    execute_many(connection, _REMOVE_CONTENT, rows)
    execute_many(connection, _MARK, [{**row, "content_removed_at": cutoffs.now} for row in rows])
    return len(rows)


def _remove_messages(connection: Connection, cutoffs: RetentionCutoffs) -> int:
    """Remove messages with their recipients, attempts and reported deliveries."""
    ids = connection.execute(_WITHOUT_CONTENT, {"before": cutoffs.messages}).scalars().all()
    email_counts.subtract(connection, ids)
    rows = [{"message": id} for id in ids]
    for statement in _REMOVE:
        execute_many(connection, statement, rows)
    return len(rows)


def _remove_deliveries(connection: Connection, first_kept: UUID) -> int:
    """Remove deliveries of events before this id. They are read by number, in the order of their events."""
    old = [row.number for row in connection.execute(_OLDEST_DELIVERIES) if row.event_id < first_kept]
    execute_many(connection, _REMOVE_DELIVERY, [{"delivery": number} for number in old])
    return len(old)
