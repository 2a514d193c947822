"""Gives a scheduled message another send time, while the first one is in the future.

Due time, expiry, age and the Date field change with it. Until then it has no turn; a claim assigns one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.mail.lifecycle import MessageState
from app.mail.message.compose import redate
from app.store.queue.operator import is_scheduled
from app.store.records import Change
from app.store.schema import contents, messages
from app.store.webhooks import outbox


@dataclass(frozen=True, slots=True)
class Reschedule:
    """A new send time `at` for a message. With a `key_id` only if it is mail of that key."""

    id: UUID
    at: float
    now: float
    key_id: UUID | None = None


_m, _c = messages.c, contents.c

_ONE = (
    select(_m.key_id, _m.state, _m.scheduled_at, _m.due_since, _m.expires_at)
    .where(_m.id == bindparam("of"))
    .with_for_update()  # a claim passes over what is locked, and finds the new time afterwards
)
_MOVE = update(messages).where(_m.id == bindparam("of")).values(turn=None)
_CONTENT = select(_c.content).where(_c.message_id == bindparam("of"))
_WRITE = update(contents).where(_c.message_id == bindparam("of"))


def reschedule(connection: Connection, batch: Sequence[Reschedule]) -> list[Change | None]:
    """Reschedule in this order; a message that is not scheduled stays unchanged."""
    order = sorted(range(len(batch)), key=lambda place: batch[place].id)  # locked in one order everywhere
    changes = {place: _reschedule(connection, batch[place]) for place in order}
    return [changes[place] for place in range(len(batch))]


def _reschedule(connection: Connection, wanted: Reschedule) -> Change | None:
    row = connection.execute(_ONE, {"of": wanted.id}).one_or_none()
    if row is None or wanted.key_id not in (None, row.key_id):
        return None
    if not is_scheduled(row, wanted.now):
        return Change(False, MessageState(row.state))
    due = max(wanted.at, wanted.now)
    connection.execute(
        _MOVE,
        {
            "of": wanted.id,
            "scheduled_at": due,
            "due_since": due,
            "due_at": due,
            "expires_at": due + row.expires_at - row.due_since,
        },
    )
    _redate(connection, wanted.id, due)
    outbox.rescheduled(connection, {wanted.id: (row.due_since, due)}, wanted.now)
    return Change(True, MessageState(row.state))


def _redate(connection: Connection, id: UUID, due: float) -> None:
    content: bytes | None = connection.execute(_CONTENT, {"of": id}).scalar()
    if content is not None:
        connection.execute(_WRITE, {"of": id, "content": redate(content, due)})
