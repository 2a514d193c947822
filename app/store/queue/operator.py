"""Commands for one message: retry, cancel, confirm, reschedule, with their webhook events and audit entries.

The lifecycle decides in which state each is possible. `is_scheduled` is the condition of a scheduled message.

No such event applies to an ACTIVE message, and rows are selected only in the states of the event: so a message of a
worker is neither changed nor locked. A relayed recipient stays relayed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    or_,
    select,
    update,
)

from app.mail import retry_schedule
from app.mail.lifecycle import CONFIRMED, Event, MessageState, RecipientState, next_state, sources
from app.mail.message.message import redate
from app.mail.times import iso
from app.store import email_counts
from app.store.keys import audit
from app.store.keys.audit import Actor, AuditAction, Entry
from app.store.records import Change
from app.store.schema import contents, messages, recipients
from app.store.webhooks import outbox


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """Command for a message at `now` (epoch seconds). `key_id`: only if it is the mail of this key.

    `scheduled`: only before the scheduled time of the message.
    """

    id: UUID
    now: float
    key_id: UUID | None = None
    scheduled: bool = False
    by: Actor | None = None  # for the audit; None: no entry


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """Request to send a message at `at` instead (epoch seconds). `key_id`: only if the message is of this API key."""

    id: UUID
    at: float
    now: float
    key_id: UUID | None = None
    by: Actor | None = None  # for the audit; None: no entry


_Found = Select[UUID, UUID, str, float | None, float | None]
_Row = Row[UUID, UUID, str, float | None, float | None]


@dataclass(frozen=True, slots=True)
class _Command:
    """Implementation of a command: `possible` finds and locks the messages that allow it."""

    action: AuditAction
    events: tuple[Event, ...]  # the state of the message decides which
    possible: _Found
    publish: Callable[[Connection, Mapping[UUID, float]], None]  # webhook events
    message: Update
    recipient: Update | None = None

    def after(self, state: MessageState) -> MessageState:
        """Return the state after the command."""
        return next_state(state, next(event for event in self.events if state in sources(event)))


_m, _r, _c = messages.c, recipients.c, contents.c
_NOW = bindparam("now", type_=Double)


def _in(*events: Event) -> ColumnElement[bool]:
    """Return the condition that the state allows one of these events."""
    return _m.state.in_(sorted(state for event in events for state in sources(event)))


_CURRENT = select(_m.id, _m.key_id, _m.state, _m.scheduled_at, _m.content_removed_at).where(
    _m.id.in_(bindparam("ids", expanding=True))
)


def _locked(condition: ColumnElement[bool]) -> _Found:
    # Locked in one order everywhere: no deadlock.
    return _CURRENT.where(condition).order_by(_m.id).with_for_update(of=messages)


_HAS_FAILED = exists().where(_r.message_id == _m.id, _r.state == RecipientState.FAILED)
_MESSAGE = update(messages).where(_m.id == bindparam("message")).values(state=bindparam("next"))
_RECIPIENT = update(recipients).where(_r.message_id == bindparam("message"))

_RETRY = _Command(
    action=AuditAction.EMAIL_RETRIED,
    events=(Event.RELEASE, Event.RETRY),
    possible=_locked(or_(_in(Event.RELEASE), and_(_in(Event.RETRY), _HAS_FAILED, _m.content_removed_at.is_(None)))),
    publish=outbox.requeued,
    message=_MESSAGE.values(
        due_at=_NOW,
        turn=None,
        due_since=_NOW,
        expires_at=_NOW + retry_schedule.MESSAGE_LIFETIME,
        ended_at=None,
        explanation=None,
    ),
    recipient=_RECIPIENT.where(_r.state == RecipientState.FAILED).values(state=RecipientState.PENDING),
)
_CANCEL = _Command(
    action=AuditAction.EMAIL_CANCELED,
    events=(Event.CANCEL,),
    possible=_locked(_in(Event.CANCEL)),
    publish=outbox.ended,
    message=_MESSAGE.values(due_at=None, turn=None, ended_at=_NOW, explanation=None),
)
_CONFIRM = _Command(
    action=AuditAction.EMAIL_CONFIRMED,
    events=(Event.CONFIRM,),
    possible=_locked(_in(Event.CONFIRM)),
    publish=outbox.ended,
    message=_MESSAGE.values(ended_at=_NOW, explanation=asdict(CONFIRMED)),
    recipient=_RECIPIENT.where(_r.state == RecipientState.PENDING).values(state=RecipientState.RELAYED),
)

_SCHEDULED = (
    select(_m.key_id, _m.state, _m.scheduled_at, _m.due_since, _m.expires_at)
    .where(_m.id == bindparam("message"))
    .with_for_update()  # a claim skips locked rows and finds the new time later
)
_MOVE = update(messages).where(_m.id == bindparam("message")).values(turn=None)
_CONTENT = select(_c.content).where(_c.message_id == bindparam("message"))
_SET_CONTENT = update(contents).where(_c.message_id == bindparam("message"))


def retry(connection: Connection, batch: Sequence[OperatorCommand]) -> list[Change | None]:
    """Requeue HELD messages, and DONE ones with failed recipients: due now, with a new lifetime."""
    return _carry_out(_RETRY, connection, batch)


def cancel(connection: Connection, batch: Sequence[OperatorCommand]) -> list[Change | None]:
    """Cancel QUEUED, DEFERRED and HELD messages."""
    return _carry_out(_CANCEL, connection, batch)


def confirm(connection: Connection, batch: Sequence[OperatorCommand]) -> list[Change | None]:
    """End HELD messages; their pending recipients are relayed."""
    return _carry_out(_CONFIRM, connection, batch)


def _carry_out(kind: _Command, connection: Connection, batch: Sequence[OperatorCommand]) -> list[Change | None]:
    ids = {"ids": [command.id for command in batch]}
    possible = {row.id: row for row in connection.execute(kind.possible, ids)}
    moves: dict[int, dict[str, Any]] = {}  # by index in the batch
    for index, command in enumerate(batch):
        if (row := _visible(command, possible)) and (is_scheduled(row, command.now) or not command.scheduled):
            del possible[command.id]  # only the first of equal commands is applied
            moves[index] = {
                "message": command.id,
                "now": command.now,
                "next": kind.after(MessageState(row.state)),
                "was": row.state,
            }
    if moves:
        moved = [move["message"] for move in moves.values()]
        email_counts.subtract(connection, moved)
        connection.execute(kind.message, [*moves.values()])
        if kind.recipient is not None:
            connection.execute(kind.recipient, [{"message": id} for id in moved])
        email_counts.add(connection, moved)
        kind.publish(connection, {move["message"]: move["now"] for move in moves.values()})
        audit.write(connection, [_entry(kind, batch[index], move["was"]) for index, move in moves.items()])
    current = {row.id: row for row in connection.execute(_CURRENT, ids)}
    return [_change(index in moves, _visible(command, current)) for index, command in enumerate(batch)]


def _entry(kind: _Command, command: OperatorCommand, was: str) -> Entry | None:
    if command.by is None:
        return None
    return Entry(command.now, command.by, kind.action, str(command.id), {"was": was})


def is_scheduled(row: Any, now: float) -> bool:
    """Return True for a queued message whose scheduled time is in the future."""
    return row.state == MessageState.QUEUED and row.scheduled_at is not None and row.scheduled_at > now


def _visible(command: OperatorCommand, rows: Mapping[UUID, _Row]) -> _Row | None:
    row = rows.get(command.id)
    return row if row is not None and command.key_id in (None, row.key_id) else None


def _change(applied: bool, row: _Row | None) -> Change | None:
    return None if row is None else Change(applied, MessageState(row.state), row.content_removed_at is None)


def reschedule(connection: Connection, batch: Sequence[RescheduleRequest]) -> list[Change | None]:
    """Reschedule messages; return the results in the order of the batch. None: no such message, or another key's.

    A message that is not scheduled, or whose time has come, stays unchanged; a new time in the past becomes now. Due
    time, expiry, age and the Date field move with it. A claim assigns a turn at the new time.
    """
    order = sorted(range(len(batch)), key=lambda index: batch[index].id)  # one lock order everywhere: no deadlock
    changes = {index: _reschedule(connection, batch[index]) for index in order}
    return [changes[index] for index in range(len(batch))]


def _reschedule(connection: Connection, request: RescheduleRequest) -> Change | None:
    row = connection.execute(_SCHEDULED, {"message": request.id}).one_or_none()
    if row is None or request.key_id not in (None, row.key_id):
        return None
    if not is_scheduled(row, request.now):
        return Change(False, MessageState(row.state))
    due = max(request.at, request.now)
    connection.execute(
        _MOVE,
        {
            "message": request.id,
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
        audit.write(connection, [Entry(request.now, request.by, AuditAction.EMAIL_RESCHEDULED, str(request.id), moved)])
    return Change(True, MessageState(row.state))


def _set_date_field(connection: Connection, id: UUID, due: float) -> None:
    content: bytes | None = connection.execute(_CONTENT, {"message": id}).scalar()
    if content is not None:
        connection.execute(_SET_CONTENT, {"message": id, "content": redate(content, due)})
