"""Changes the send time of a scheduled message while the former one is in the future; a time in the past becomes now.

Due time, expiry, age and the Date field move with it. Its turn is removed; a claim assigns one at the new time. The
webhook events, the delay notice and the audit entry are written in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.mail.lifecycle import MessageState
from app.mail.message.message import redate
from app.mail.times import iso
from app.store.keys import audit
from app.store.keys.audit_records import Action, Actor, Entry
from app.store.queue.operator import is_scheduled
from app.store.records import Change
from app.store.schema import contents, messages
from app.store.webhooks import outbox


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """Request to send a message at `at` instead (epoch seconds). `key_id`: only if the message is of this API key."""

    id: UUID
    at: float
    now: float
    key_id: UUID | None = None
    by: Actor | None = None  # for the audit; None: no entry


_m, _c = messages.c, contents.c

_CURRENT = (
    select(_m.key_id, _m.state, _m.scheduled_at, _m.due_since, _m.expires_at)
    .where(_m.id == bindparam("this"))
    .with_for_update()  # a claim skips locked rows and finds the new time later
)
_MOVE = update(messages).where(_m.id == bindparam("this")).values(turn=None)
_CONTENT = select(_c.content).where(_c.message_id == bindparam("this"))
_WRITE = update(contents).where(_c.message_id == bindparam("this"))


def reschedule(connection: Connection, batch: Sequence[RescheduleRequest]) -> list[Change | None]:
    """Reschedule messages; return the results in the order of the batch. None: no such message, or another key's.

    A message that is not scheduled, or whose time has come, stays unchanged.
    """
    order = sorted(range(len(batch)), key=lambda index: batch[index].id)  # one lock order everywhere: no deadlock
    changes = {index: _reschedule(connection, batch[index]) for index in order}
    return [changes[index] for index in range(len(batch))]


def _reschedule(connection: Connection, request: RescheduleRequest) -> Change | None:
    row = connection.execute(_CURRENT, {"this": request.id}).one_or_none()
    if row is None or request.key_id not in (None, row.key_id):
        return None
    if not is_scheduled(row, request.now):
        return Change(False, MessageState(row.state))
    due = max(request.at, request.now)
    connection.execute(
        _MOVE,
        {
            "this": request.id,
            "scheduled_at": due,
            "due_since": due,
            "due_at": due,
            "expires_at": due + row.expires_at - row.due_since,
        },
    )
    _set_date_field(connection, request.id, due)
    outbox.rescheduled(connection, {request.id: (row.due_since, due)}, request.now)
    if request.by is not None:
        moved = {"scheduled_at": {"before": iso(row.scheduled_at), "after": iso(due)}}
        audit.write(connection, [Entry(request.now, request.by, Action.EMAIL_RESCHEDULED, str(request.id), moved)])
    return Change(True, MessageState(row.state))


def _set_date_field(connection: Connection, id: UUID, due: float) -> None:
    content: bytes | None = connection.execute(_CONTENT, {"this": id}).scalar()
    if content is not None:
        connection.execute(_WRITE, {"this": id, "content": redate(content, due)})
