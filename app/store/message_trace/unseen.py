"""Held emails with an unknown outcome: the time of the oldest, and those that Exchange's trace should contain and does
not. These get an explanation, or are sent again if the pool's setting or the key's policy says so.

An email is never sent again after its expiry, nor if the trace has a row of any of its recipients.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, func, select, update

from app.mail.lifecycle import UNKNOWN_HELD, UNKNOWN_TWICE, UNSEEN, Event, MessageState, next_state
from app.store.db.dialect import execute_many
from app.store.db.writer import per_argument
from app.store.keys import audit
from app.store.keys.audit import AuditAction, Entry
from app.store.message_trace.apply import ACTOR
from app.store.message_trace.readers import is_held
from app.store.message_trace.records import Scope, Unseen, UnseenFound
from app.store.records import FIRST_ID
from app.store.schema import api_keys, attempts, messages, traces
from app.store.webhooks import outbox

BATCH_SIZE = 500  # rows read in one transaction: accepts wait for it

_m, _a, _t, _k = messages.c, attempts.c, traces.c, api_keys.c
_UNKNOWN = [asdict(one) for one in (UNKNOWN_HELD, UNKNOWN_TWICE)]
_LAST = (
    select(func.max(_a.ended_at)).where(_a.message_id == _m.id).correlate(messages).scalar_subquery().label("ended_at")
)
_SEEN = exists().where(_t.message_id == _m.id).correlate(messages).label("seen")
_HELD = (
    select(_m.id, _m.key_id, _m.pool, _m.expires_at, _m.explanation, _LAST, _SEEN)
    .where(_m.state == MessageState.HELD, _m.id > bindparam("after"))
    .order_by(_m.id)
    .limit(BATCH_SIZE)
)
_LOCKED = _HELD.with_for_update(of=messages, skip_locked=True)
_POLICIES = select(_k.id, _k.policy).where(_k.id.in_(bindparam("ids", expanding=True)))
_EXPLAIN = update(messages).where(_m.id == bindparam("message")).values(explanation=asdict(UNSEEN))
_RETRY = (
    update(messages)
    .where(_m.id == bindparam("message"))
    .values(
        state=next_state(MessageState.HELD, Event.RELEASE),
        due_at=bindparam("now"),
        turn=None,
        explanation=None,
    )
)

_Row = Row[*tuple[Any, ...]]


def oldest_unknown(connection: Connection) -> float | None:
    """Return when the last attempt of the oldest held email with an unknown outcome ended; None without one."""
    after, found = FIRST_ID, list[float]()
    while rows := connection.execute(_HELD, {"after": after}).all():
        found += [row.ended_at for row in rows if row.explanation in _UNKNOWN and row.ended_at is not None]
        after = rows[-1].id
    return min(found, default=None)


@per_argument
def mark_unseen(connection: Connection, request: Unseen) -> UnseenFound | None:
    """Explain or requeue the next held emails. None: the lease was lost."""
    if not is_held(connection, request.reader):
        return None
    rows = connection.execute(_LOCKED, {"after": request.after}).all()
    due = [row for row in rows if _is_due(row, request)]
    again = _retried(connection, due, request.scope, request.now)
    execute_many(connection, _EXPLAIN, [{"message": row.id} for row in due if row.id not in again])
    execute_many(connection, _RETRY, [{"message": id, "now": request.now} for id in again])
    outbox.requeued(connection, dict.fromkeys(again, request.now))
    entries = [
        Entry(request.now, ACTOR, AuditAction.EMAIL_RETRIED, str(id), {"was": MessageState.HELD}) for id in again
    ]
    audit.write(connection, entries)
    return UnseenFound(len(due) - len(again), again, rows[-1].id if len(rows) == BATCH_SIZE else None)


def _is_due(row: _Row, request: Unseen) -> bool:
    return (
        row.explanation in _UNKNOWN
        and row.pool in request.scope.complete
        and not row.seen
        and request.since <= (row.ended_at or request.since) < request.before
    )


def _retried(connection: Connection, due: Sequence[_Row], scope: Scope, now: float) -> tuple[UUID, ...]:
    """Return those that are sent again: by the setting of their pool or the policy of their key."""
    keys = {row.key_id for row in due}
    policies = {row.id: row.policy for row in connection.execute(_POLICIES, {"ids": keys})} if keys else {}
    return tuple(
        row.id
        for row in due
        if row.expires_at > now
        and (row.pool in scope.retry_unseen or policies.get(row.key_id, {}).get("retry_unseen", False))
    )
