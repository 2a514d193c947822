"""Removes what is over and old: contents first, later all that is known of a message; Idempotency-Keys; events; audit.

In steps so small that an accept hardly waits for one. What has not ended is never touched, nor what somebody else has
locked; over PostgreSQL one process at a time does it.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, text, update

from app.frozen import frozen
from app.store.db.prepared import PreparedStatement
from app.store.keys import audit
from app.store.queue.accept import IDEMPOTENCY_RETENTION
from app.store.schema import CONTENT_REMOVED, ENDED_WITH_CONTENT, attempts, contents, idempotency, messages, recipients
from app.store.webhooks import deliveries

BATCH_SIZE = 50  # rows in one step: accepts wait for it
BATCH_BYTES = 4 * 1024 * 1024  # of contents in one step, which may be one larger message
_LOCK = 0x70727565  # any number that only this has among Postern's: PostgreSQL's advisory locks are named by numbers


@frozen
class RetentionCutoffs:
    """What has ended, or happened, by these moments is removed. Times are epoch seconds."""

    now: float
    contents: float
    messages: float
    events: float  # of which webhooks were told
    audit: float = 0.0


_m, _k = messages.c, idempotency.c

_FULL = PreparedStatement(
    select(_m.id, _m.size)
    .where(ENDED_WITH_CONTENT, _m.ended_at <= bindparam("before"))
    .order_by(_m.ended_at)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_EMPTY = PreparedStatement(
    select(_m.id)
    .where(CONTENT_REMOVED, _m.ended_at <= bindparam("before"))
    .order_by(_m.ended_at)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_USED = PreparedStatement(
    select(_k.key_id, _k.endpoint, _k.key)
    .where(_k.created_at <= bindparam("before"))
    .order_by(_k.created_at)
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_REMOVE_CONTENT = PreparedStatement(delete(contents).where(contents.c.message_id == bindparam("of")))
_MARK = PreparedStatement(update(messages).where(_m.id == bindparam("of")), sets=("content_removed_at",))
_REMOVE = tuple(  # in this order, so that no foreign key has to look for them
    PreparedStatement(delete(table).where(column == bindparam("of")))
    for table, column in ((recipients, recipients.c.message_id), (attempts, attempts.c.message_id), (messages, _m.id))
)
_FORGET_KEY = PreparedStatement(
    delete(idempotency).where(
        *(_k.key_id == bindparam("holder"), _k.endpoint == bindparam("at"), _k.key == bindparam("named")),
        _k.created_at <= bindparam("before"),
    )
)


def prune(connection: Connection, batch: Sequence[RetentionCutoffs]) -> list[int]:
    """One step for each; how many rows it removed something of. 0: there is nothing left, or another does it."""
    return [_prune(connection, bounds) for bounds in batch]


def _prune(connection: Connection, bounds: RetentionCutoffs) -> int:
    if not _alone(connection):
        return 0
    return (
        _empty(connection, bounds)
        or _forget(connection, bounds)
        or _forget_keys(connection, bounds)
        or deliveries.prune(connection, bounds.events)
        or audit.prune(connection, bounds.audit)
    )


def _alone(connection: Connection) -> bool:
    """Until the end of the transaction. An embedded database has one writer anyway."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}).scalar())


def _empty(connection: Connection, bounds: RetentionCutoffs) -> int:
    """Contents go; what is known of the message stays."""
    found = _FULL.all(connection, {"before": bounds.contents})
    sums = accumulate(row.size for row in found)
    rows = [{"of": row.id} for row, so_far in zip(found, sums, strict=True) if so_far <= BATCH_BYTES or row is found[0]]
    if rows:
        _REMOVE_CONTENT.run(connection, rows)
        _MARK.run(connection, [{**row, "content_removed_at": bounds.now} for row in rows])
    return len(rows)


def _forget(connection: Connection, bounds: RetentionCutoffs) -> int:
    """What is left of a message goes: recipients, attempts with their transcripts, and its row."""
    rows = [{"of": row.id} for row in _EMPTY.all(connection, {"before": bounds.messages})]
    for statement in _REMOVE if rows else ():
        statement.run(connection, rows)
    return len(rows)


def _forget_keys(connection: Connection, bounds: RetentionCutoffs) -> int:
    before = bounds.now - IDEMPOTENCY_RETENTION
    rows = [_key_row(row, before) for row in _USED.all(connection, {"before": before})]
    if rows:
        _FORGET_KEY.run(connection, rows)
    return len(rows)


def _key_row(row: Any, before: float) -> dict[str, Any]:
    return {"holder": row.key_id, "at": row.endpoint, "named": row.key, "before": before}
