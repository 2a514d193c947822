"""Changes the send time of a scheduled message while the former one is in the future.

Due time, expiry, age and the Date field change with it. Its turn is removed; a claim assigns one at the new time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.mail.lifecycle import MessageState
from app.mail.message.compose import redate
from app.mail.times import iso
from app.store.keys import audit
from app.store.keys.audit_records import Action, Actor, Entry
from app.store.queue.operator import is_scheduled
from app.store.records import Change
from app.store.schema import contents, messages
from app.store.webhooks import outbox


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """A new send time `at` for a message. `key_id`: only if it is the mail of this key."""

    id: UUID
    at: float
    now: float
    key_id: UUID | None = None
    by: Actor | None = None  # for the audit; None: no entry


_m, _c = messages.c, contents.c

_ONE = (
    select(_m.key_id, _m.state, _m.scheduled_at, _m.due_since, _m.expires_at)
    .where(_m.id == bindparam("of"))
    .with_for_update()  # a claim skips locked rows and finds the new time later
)
_MOVE = update(messages).where(_m.id == bindparam("of")).values(turn=None)
_CONTENT = select(_c.content).where(_c.message_id == bindparam("of"))
_WRITE = update(contents).where(_c.message_id == bindparam("of"))


def reschedule(connection: Connection, batch: Sequence[RescheduleRequest]) -> list[Change | None]:
    """Reschedule in this order; a message that is not scheduled stays unchanged."""
    order = sorted(range(len(batch)), key=lambda index: batch[index].id)  # one lock order everywhere: no deadlock
    changes = {index: _reschedule(connection, batch[index]) for index in order}
    return [changes[index] for index in range(len(batch))]


def _reschedule(connection: Connection, request: RescheduleRequest) -> Change | None:
    row = connection.execute(_ONE, {"of": request.id}).one_or_none()
    if row is None or request.key_id not in (None, row.key_id):
        return None
    if not is_scheduled(row, request.now):
        return Change(False, MessageState(row.state))
    due = max(request.at, request.now)
    connection.execute(
        _MOVE,
        {
            "of": request.id,
            "scheduled_at": due,
            "due_since": due,
            "due_at": due,
            "expires_at": due + row.expires_at - row.due_since,
        },
    )
    _redate(connection, request.id, due)
    outbox.rescheduled(connection, {request.id: (row.due_since, due)}, request.now)
    if request.by is not None:
        moved = {"scheduled_at": {"before": iso(row.scheduled_at), "after": iso(due)}}
        audit.write(connection, [Entry(request.now, request.by, Action.EMAIL_RESCHEDULED, str(request.id), moved)])
    return Change(True, MessageState(row.state))


def _redate(connection: Connection, id: UUID, due: float) -> None:
    content: bytes | None = connection.execute(_CONTENT, {"of": id}).scalar()
    if content is not None:
        connection.execute(_WRITE, {"of": id, "content": redate(content, due)})
