"""Publishes delay events for messages that have waited for DELAY_NOTICE_AFTER, once for each."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select

from app.mail.explain import explain_mailbox
from app.mail.lifecycle import WAITING_STATES, MessageState
from app.mail.mailbox_health import Health
from app.mail.outcome.verdict import Explanation
from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from app.store.db.prepared import PreparedStatement
from app.store.mailboxes import conditions
from app.store.schema import delay_notices, messages
from app.store.webhooks import outbox

BATCH_SIZE = 500  # looked at in one transaction: accepts wait for it

_UNFINISHED = WAITING_STATES | {MessageState.ACTIVE, MessageState.HELD}

_p, _m = delay_notices.c, messages.c
_DUE = PreparedStatement(
    select(_p.at, _p.message_id, _m.state, _m.due_since, _m.pool)
    .outerjoin(messages, _m.id == _p.message_id)
    .where(_p.at <= bindparam("now"))
    .order_by(_p.at, _p.message_id)
    .limit(BATCH_SIZE)
    .with_for_update(of=delay_notices, skip_locked=True)
)
_DUE_AT = PreparedStatement(select(_p.at).where(_p.at <= bindparam("now")).order_by(_p.at).limit(1))
_SEEN = PreparedStatement(delete(delay_notices).where(_p.at == bindparam("moment"), _p.message_id == bindparam("of")))


def any_due(connection: Connection, now: float) -> bool:
    """Return True if a delay notice is due."""
    return _DUE_AT.first(connection, {"now": now}) is not None


def write_notices(connection: Connection, batch: Sequence[float]) -> list[int]:
    """Publish up to BATCH_SIZE notices due at each time (epoch seconds); return the numbers of rows read."""
    return [_write_notices(connection, now) for now in batch]


def _write_notices(connection: Connection, now: float) -> int:
    rows = _DUE.all(connection, {"now": now})
    if not rows:
        return 0
    _SEEN.run(connection, [{"moment": row.at, "of": row.message_id} for row in rows])
    waiting = [row for row in rows if row.state in _UNFINISHED]
    listeners = outbox.subscriptions(connection)
    # What was put off since, or put back by a person, has an hour of its own.
    outbox.schedule_delay_notices(
        connection, listeners, {row.message_id: row.due_since for row in waiting if not _is_late(row, now)}
    )
    late = [row for row in waiting if _is_late(row, now)]
    if late:
        outbox.delayed(connection, listeners, {row.message_id: now for row in late}, _why(connection, late))
    return len(rows)


def _is_late(row: Any, now: float) -> bool:
    return bool(row.due_since + DELAY_NOTICE_AFTER <= now)


def _why(connection: Connection, late: Sequence[Any]) -> dict[UUID, Explanation]:
    """Words for those whose whole pool rests: what the message itself knows is nothing."""
    words: dict[str, Explanation] = {}
    for pool in {row.pool for row in late if row.state in WAITING_STATES}:
        resting = [one for one in conditions.list_all(connection) if one.pool == pool]
        if resting and all(one.condition.health is not Health.OPEN for one in resting):
            first = min(resting, key=lambda one: one.condition.until or float("inf"))
            words[pool] = explain_mailbox(first.name, first.condition)
    return {row.message_id: words[row.pool] for row in late if row.state in WAITING_STATES and row.pool in words}
