"""Queries of messages by id, of their contents, of the next due time of pools, and of the recent sends of a mailbox.

Writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, bindparam, literal, or_, select, union_all

from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import ENDED_STATES, MessageState, RecipientState
from app.mail.message.message import MessageSummary, OnUnknown
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation
from app.store.mailboxes.records import SendRecord
from app.store.queue.claim import LANES
from app.store.records import AttemptRecord, DeliveryRecord, Email, RecipientRecord
from app.store.schema import READY, RESTING, attempts, contents, in_flight, messages, recipients, traces

_m, _r, _a, _f, _t = messages.c, recipients.c, attempts.c, in_flight.c, traces.c

_PHASES = list(Phase)
_COUNTED = _PHASES[_PHASES.index(Phase.MAIL) :]  # phases in which the upstream may have counted the message

_ONE = select(messages).where(_m.id == bindparam("id"))
_THESE = select(messages).where(_m.id.in_(bindparam("ids", expanding=True))).order_by(_m.id.desc())
_TO = (
    select(
        *(_r.message_id, _r.address, _r.state, _r.reply, _t.state.label("delivery"), _t.at, _t.network_id),
        *(_t.code, _t.cause, _t.duplicate_id),
    )
    .outerjoin(traces, and_(_t.message_id == _r.message_id, _t.address == _r.address))
    .where(_r.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(_r.message_id, _r.position)
)
_ATTEMPTS = (
    select(attempts, _f.lease.label("marked"))
    .outerjoin(in_flight, and_(_f.message_id == _a.message_id, _f.lease == _a.lease))
    .where(_a.message_id == bindparam("id"))
    .order_by(_a.number)
)
_ENDED_OF = select(_m.id).where(_m.id.in_(bindparam("ids", expanding=True)), _m.state.in_(sorted(ENDED_STATES)))
_CONTENT = select(contents.c.content).where(contents.c.message_id == bindparam("id"))
_READY = select(_m.due_at).where(READY, _m.pool == bindparam("pool")).limit(1)
_RESTING = select(_m.due_at).where(RESTING, _m.pool == bindparam("pool")).order_by(_m.due_at).limit(1)
_ENDED = select(_a.ended_at, _a.recipients, _a.phase).where(
    _a.mailbox == bindparam("mailbox"),
    _a.ended_at > bindparam("since"),
    # Only the phase `dot` of a crashed attempt is durable; an earlier phase is not known, so it counts.
    or_(_a.phase.in_(_COUNTED), _a.failure == FailureKind.CRASHED),
)
ACTIVE_SENDS = (
    select(_m.lease_until, _a.recipients, literal(str(Phase.DOT)))
    .join(messages, _m.id == _a.message_id)
    .where(_a.mailbox == bindparam("mailbox"), _a.ended_at.is_(None), _m.lease_until > bindparam("since"))
)
SENDS = union_all(_ENDED, ACTIVE_SENDS)  # with the time at which each counts: an active one at the end of its lease


def get(connection: Connection, id: UUID, key_id: UUID | None = None) -> Email | None:
    """Return one message with recipients and attempts; None if it is another key's (`key_id` None: any key)."""
    row = connection.execute(_ONE, {"id": id}).one_or_none()
    if row is None or key_id not in (None, row.key_id):
        return None
    return _email(row, _recipients(connection, [id])[id], _attempts(connection, id))


def emails(connection: Connection, ids: Sequence[UUID]) -> list[Email]:
    """Return these messages with their recipients, the newest first."""
    if not ids:
        return []
    rows = connection.execute(_THESE, {"ids": ids}).all()
    recipients_of = _recipients(connection, ids)
    return [_email(row, recipients_of[row.id], ()) for row in rows]


def find_ended(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Return the ids among these that are done or cancelled."""
    return set(connection.execute(_ENDED_OF, {"ids": [*ids]}).scalars()) if ids else set()


def content(connection: Connection, id: UUID) -> bytes | None:
    """Return the bytes of the message as sent; None if they were removed."""
    return connection.execute(_CONTENT, {"id": id}).scalar()


def next_due_times(connection: Connection, pools: Sequence[str]) -> dict[str, float]:
    """Return by pool the due time of a ready message, or else the first later one (epoch seconds).

    A pool without one is left out. The message may be past its expiry.
    """
    found = {pool: _next_due(connection, pool) for pool in pools}
    return {pool: at for pool, at in found.items() if at is not None}


def _next_due(connection: Connection, pool: str) -> float | None:
    ready: float | None = connection.execute(_READY, {"pool": pool}).scalar()
    return connection.execute(_RESTING, {"pool": pool}).scalar() if ready is None else ready


def sent_since(connection: Connection, mailbox: str, since: float) -> list[SendRecord]:
    """Return the messages this mailbox sent after `since` or is sending now, oldest first."""
    found = connection.execute(SENDS, {"mailbox": mailbox, "since": since})
    sends = (SendRecord(at, recipients, phase in _COUNTED) for at, recipients, phase in found)
    return sorted(sends, key=lambda send: send.at)


def _recipients(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[RecipientRecord]]:
    found: dict[UUID, list[RecipientRecord]] = defaultdict(list)
    for row in connection.execute(_TO, {"ids": ids}):
        found[row.message_id].append(_recipient(row))
    return found


def _recipient(row: Row[*tuple[Any, ...]]) -> RecipientRecord:
    delivery = None
    if row.delivery is not None:
        cause = Cause(row.code, row.cause)
        delivery = DeliveryRecord(DeliveryState(row.delivery), row.at, row.network_id, cause, row.duplicate_id)
    return RecipientRecord(row.address, RecipientState(row.state), row.reply, delivery)


def _attempts(connection: Connection, id: UUID) -> list[AttemptRecord]:
    return [_attempt(row) for row in connection.execute(_ATTEMPTS, {"id": id})]


def _attempt(row: Row[*tuple[Any, ...]]) -> AttemptRecord:
    return AttemptRecord(
        number=row.number,
        mailbox=row.mailbox,
        started_at=row.started_at,
        ended_at=row.ended_at,
        phase=Phase(row.phase) if row.marked is None else Phase.DOT,
        failure=None if row.failure is None else FailureKind(row.failure),
        detail=row.detail,
        replies=tuple(row.replies),
        verdicts=row.verdicts,
        dialogue=tuple(Line(who, text) for who, text in row.dialogue),
        in_doubt=row.in_doubt,
    )


def _email(
    row: Row[*tuple[Any, ...]], to: Sequence[RecipientRecord], attempt_records: Sequence[AttemptRecord]
) -> Email:
    return Email(
        id=row.id,
        key_id=row.key_id,
        pool=row.pool,
        lane=LANES[row.lane],
        state=MessageState(row.state),
        message_id=row.message_id,
        head=_head(row.head),
        size=row.size,
        created_at=row.created_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        scheduled_at=row.scheduled_at,
        ended_at=row.ended_at,
        mailbox=row.mailbox,
        on_unknown=OnUnknown(row.on_unknown),
        possible_duplicate=row.possible_duplicate,
        explanation=None if row.explanation is None else Explanation(**row.explanation),
        content_removed_at=row.content_removed_at,
        attempted=row.attempts > (row.state == MessageState.ACTIVE),
        recipients=tuple(to),
        attempts=tuple(attempt_records),
    )


def _head(kept: dict[str, Any]) -> MessageSummary:
    return MessageSummary(
        sender=kept["sender"],
        to=tuple(kept["to"]),
        subject=kept["subject"],
        cc=tuple(kept["cc"]),
        bcc=tuple(kept["bcc"]),
        reply_to=tuple(kept["reply_to"]),
        tags=tuple((name, value) for name, value in kept["tags"]),
        headers=tuple((name, value) for name, value in kept.get("headers", ())),
        client=kept.get("client", ""),
    )
