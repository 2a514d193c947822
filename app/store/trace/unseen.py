"""Held emails that Exchange's trace does not contain: their explanation changes, and a person may send them again."""

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, update

from app.mail.lifecycle import UNKNOWN_HELD, UNKNOWN_TWICE, UNSEEN, MessageState
from app.store.db.verb import each
from app.store.schema import attempts, messages
from app.store.trace.readers import is_held
from app.store.trace.records import Unseen

BATCH_SIZE = 500  # rows read in one transaction: accepts wait for it

_m, _a = messages.c, attempts.c
_UNKNOWN = [asdict(one) for one in (UNKNOWN_HELD, UNKNOWN_TWICE)]
_LAST = (
    select(func.max(_a.ended_at)).where(_a.message_id == _m.id).correlate(messages).scalar_subquery().label("ended_at")
)
_HELD = (
    select(_m.id, _m.explanation, _LAST)
    .where(_m.state == MessageState.HELD, _m.id > bindparam("after"))
    .order_by(_m.id)
    .limit(BATCH_SIZE)
    .with_for_update(of=messages, skip_locked=True)
)
_MARK = update(messages).where(_m.id == bindparam("of")).values(explanation=asdict(UNSEEN))


@each
def mark_unseen(connection: Connection, one: Unseen) -> tuple[int, UUID | None] | None:
    """Mark the next held emails; return their number and the id to continue after (None: the end).

    None: the lease was lost.
    """
    if not is_held(connection, one.reader):
        return None
    rows = connection.execute(_HELD, {"after": one.after}).all()
    due = [row.id for row in rows if row.explanation in _UNKNOWN and (row.ended_at or one.before) < one.before]
    if due:
        connection.execute(_MARK, [{"of": id} for id in due])
    return len(due), rows[-1].id if len(rows) == BATCH_SIZE else None
