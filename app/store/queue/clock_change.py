"""Adjusts due times and leases after the wall clock was set back; and reads the latest time stored, to detect that.

Otherwise a 30-second retry delay would last an hour longer when the clock loses an hour. Times set by callers stay:
they are times of day.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, case, func, select, tuple_, update

from app.mail.lifecycle import MessageState
from app.store.db.writer import per_argument
from app.store.schema import ACTIVE, RESTING, attempts, mailboxes, messages

NIL = UUID(int=0)
BATCH_SIZE = 1000  # rows read in one transaction: accepts wait for it


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of the resting messages of a pool, after this due time and id. Times are epoch seconds."""

    pool: str
    now: float
    after: tuple[float, UUID]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Number of messages brought forward, and the place after which the next batch starts; None: the end."""

    count: int
    after: tuple[float, UUID] | None


_m, _a = messages.c, attempts.c

_NEWEST = select(_m.created_at).order_by(_m.id.desc()).limit(1)
_LAST_ENDED = select(
    select(func.max(_a.ended_at)).where(_a.mailbox == mailboxes.c.name).correlate(mailboxes).scalar_subquery()
).select_from(mailboxes)
_RESTING = (
    select(_m.id, _m.state, _m.scheduled_at, _m.due_at, _a.ended_at)
    .outerjoin(attempts, and_(_a.message_id == _m.id, _a.number == _m.attempts))
    .where(
        RESTING,
        _m.pool == bindparam("pool"),
        tuple_(_m.due_at, _m.id) > tuple_(bindparam("due_at"), bindparam("id", type_=_m.id.type)),
    )
    .order_by(_m.due_at, _m.id)
    .limit(BATCH_SIZE)
    .with_for_update(of=messages, skip_locked=True)
)
_MOMENT = bindparam("moment", type_=_m.due_since.type)
# The start of its age may be in the future if it was accepted before the clock change: then it is now.
_BRING = (
    update(messages)
    .where(_m.id == bindparam("message"))
    .values(due_since=case((_m.due_since > _MOMENT, _MOMENT), else_=_m.due_since))
)
_SHORTEN = update(messages).where(ACTIVE, _m.lease_until > bindparam("until")).values(lease_until=bindparam("until"))


def latest(connection: Connection) -> float | None:
    """Return the latest time stored, of an acceptance or of the end of an attempt; None if the store is empty.

    It is in the future if the clock has been set back since.
    """
    times = [connection.execute(_NEWEST).scalar(), *connection.execute(_LAST_ENDED).scalars()]
    return max((moment for moment in times if moment is not None), default=None)


@per_argument
def shorten(connection: Connection, until: float) -> None:
    """Limit all leases to this time (epoch seconds)."""
    connection.execute(_SHORTEN, {"until": until})


@per_argument
def bring_forward(connection: Connection, part: Batch) -> BatchResult:
    """Bring forward the messages of one batch."""
    due_at, id = part.after
    rows = connection.execute(_RESTING, {"pool": part.pool, "due_at": due_at, "id": id}).all()
    changes = [
        {"message": row.id, "moment": part.now, "due_at": sooner}
        for row in rows
        if (sooner := _due_at(row, part.now)) < row.due_at
    ]
    if changes:
        connection.execute(_BRING, changes)
    return BatchResult(len(changes), (rows[-1].due_at, rows[-1].id) if len(rows) == BATCH_SIZE else None)


def _due_at(row: Any, now: float) -> float:
    """Return the due time; if the delay was set at a time that is in the future now, the delay from now on."""
    due_at: float = row.due_at
    delayed_at = (row.ended_at if row.state == MessageState.DEFERRED else None) or due_at
    if (row.scheduled_at or 0.0) > now or not now < delayed_at <= due_at:
        return due_at
    return float(now + due_at - delayed_at)
