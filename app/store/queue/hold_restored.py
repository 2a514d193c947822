"""Holds waiting messages after a restore: they may have been relayed since the backup.

A message scheduled for a future time stays queued: it cannot have been sent yet.
"""

from dataclasses import asdict

from sqlalchemy import Connection, bindparam, or_, select, update

from app.mail.lifecycle import RESTORED, Event, MessageState, next_state
from app.store.db.batch import per_argument
from app.store.db.dialect import execute_many
from app.store.schema import WAITING, messages

BATCH_SIZE = 1000  # rows in one transaction

_m = messages.c
_STATE = next_state(MessageState.QUEUED, Event.HOLD)  # the same as from DEFERRED

_WAITING = (
    select(_m.id)
    .where(WAITING, or_(_m.scheduled_at.is_(None), _m.scheduled_at <= bindparam("now")))
    .limit(BATCH_SIZE)
    .with_for_update(skip_locked=True)
)
_HOLD = (
    update(messages)
    .where(_m.id == bindparam("message"))
    .values(state=_STATE, due_at=None, turn=None, possible_duplicate=True, explanation=asdict(RESTORED))
)


@per_argument
def hold(connection: Connection, now: float) -> int:
    """Hold up to BATCH_SIZE messages at `now` (epoch seconds); return their number."""
    rows = [{"message": id} for id in connection.execute(_WAITING, {"now": now}).scalars()]
    execute_many(connection, _HOLD, rows)
    return len(rows)
