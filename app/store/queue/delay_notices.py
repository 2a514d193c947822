"""Publishes webhook events of a delay for messages that have waited for DELAY_NOTICE_AFTER, once for each due time."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, select

from app.mail.explain import explain_mailbox
from app.mail.lifecycle import ENDED_STATES, WAITING_STATES
from app.mail.mailbox_health import Health
from app.mail.outcome.verdict import Explanation
from app.mail.retry_schedule import DELAY_NOTICE_AFTER
from app.store.db.writer import per_argument
from app.store.mailboxes import conditions
from app.store.schema import delay_notices, messages
from app.store.webhooks import outbox

BATCH_SIZE = 500  # rows read in one transaction: accepts wait for it

_p, _m = delay_notices.c, messages.c
_DUE = (
    select(_p.at, _p.message_id, _m.state, _m.due_since, _m.pool)
    .outerjoin(messages, _m.id == _p.message_id)
    .where(_p.at <= bindparam("now"))
    .order_by(_p.at, _p.message_id)
    .limit(BATCH_SIZE)
    .with_for_update(of=delay_notices, skip_locked=True)
)
_DUE_AT = select(_p.at).where(_p.at <= bindparam("now")).order_by(_p.at).limit(1)
_REMOVE = delete(delay_notices).where(_p.at == bindparam("due"), _p.message_id == bindparam("message"))


def any_due(connection: Connection, now: float) -> bool:
    """Return True if a delay notice is due."""
    return connection.execute(_DUE_AT, {"now": now}).first() is not None


@per_argument
def write_notices(connection: Connection, now: float) -> int:
    """Publish up to BATCH_SIZE notices due at `now` (epoch seconds); return the number of rows read."""
    rows = connection.execute(_DUE, {"now": now}).all()
    if not rows:
        return 0
    connection.execute(_REMOVE, [{"due": row.at, "message": row.message_id} for row in rows])
    unfinished = [row for row in rows if row.state is not None and row.state not in ENDED_STATES]
    late = [row for row in unfinished if _is_late(row, now)]
    listeners = outbox.subscriptions(connection)
    # A message that was rescheduled or requeued since has a new due time, and a notice of its own.
    outbox.schedule_delay_notices(
        connection, listeners, {row.message_id: row.due_since for row in unfinished if not _is_late(row, now)}
    )
    if late:
        outbox.delayed(connection, listeners, {row.message_id: now for row in late}, _why(connection, late))
    return len(rows)


def _is_late(row: Any, now: float) -> bool:
    return bool(row.due_since + DELAY_NOTICE_AFTER <= now)


def _why(connection: Connection, late: Sequence[Any]) -> dict[UUID, Explanation]:
    """Return explanations for messages whose mailboxes are all paused or held: the message itself has none."""
    explanations: dict[str, Explanation] = {}
    for pool in {row.pool for row in late if row.state in WAITING_STATES}:
        mailboxes = [one for one in conditions.list_all(connection) if one.pool == pool]
        if mailboxes and all(one.condition.health is not Health.OPEN for one in mailboxes):
            first = min(mailboxes, key=lambda one: one.condition.until or float("inf"))
            explanations[pool] = explain_mailbox(first.name, first.condition)
    return {
        row.message_id: explanations[row.pool]
        for row in late
        if row.state in WAITING_STATES and row.pool in explanations
    }
