"""Takes what is due into a worker's hands: state, lease and the open attempt in one transaction."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from app.mail.attempt import Phase
from app.mail.lifecycle import MessageState, RecipientState, Standing
from app.mail.message import Envelope, OnUnknown
from app.store.records import Claimed
from app.store.schema import WAITING, attempts, messages, recipients


@dataclass(frozen=True, slots=True)
class Demand:
    """A worker's wish for messages. Times are epoch seconds."""

    pool: str
    mailbox: str
    limit: int
    now: float
    lease_until: float


_m = messages.c

_DUE = (
    select(
        _m.id,
        _m.mail_from,
        _m.smtputf8,
        _m.message_id,
        _m.size,
        _m.attempts,
        _m.due_since,
        _m.expires_at,
        _m.on_unknown,
        _m.unknown,
    )
    .where(
        WAITING,
        _m.pool == bindparam("pool"),
        _m.due_at <= bindparam("now"),
        _m.expires_at > bindparam("now"),
    )
    .order_by(_m.due_at, _m.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(messages)
    .where(_m.id == bindparam("taken"))
    .values(
        state=MessageState.ACTIVE,
        attempts=_m.attempts + 1,
        lease=bindparam("token"),
        lease_until=bindparam("until"),
        mailbox=bindparam("by"),
    )
)
_OPEN_ATTEMPT = insert(attempts)
_PENDING = (
    select(recipients.c.message_id, recipients.c.address)
    .where(
        recipients.c.message_id.in_(bindparam("ids", expanding=True)),
        recipients.c.state == RecipientState.PENDING,
    )
    .order_by(recipients.c.message_id, recipients.c.position)
)


def claim(connection: Connection, demands: Sequence[Demand]) -> list[list[Claimed]]:
    """For each demand what is due, oldest due first; a message goes to one demand only."""
    return [_claim(connection, demand) for demand in demands]


def pending(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """By message the recipients that are still to be relayed, in the caller's order."""
    addresses: dict[UUID, list[str]] = defaultdict(list)
    for row in connection.execute(_PENDING, {"ids": ids}):
        addresses[row.message_id].append(row.address)
    return addresses


def _claim(connection: Connection, demand: Demand) -> list[Claimed]:
    due = connection.execute(_DUE, {"pool": demand.pool, "now": demand.now, "limit": demand.limit}).all()
    if not due:
        return []
    waiting = pending(connection, [row.id for row in due])
    claimed = [_claimed(row, demand, waiting[row.id]) for row in due]
    connection.execute(
        _TAKE,
        [{"taken": one.id, "token": one.lease, "until": demand.lease_until, "by": demand.mailbox} for one in claimed],
    )
    connection.execute(_OPEN_ATTEMPT, [_attempt_row(one) for one in claimed])
    return claimed


def _claimed(row: Row[*tuple[Any, ...]], demand: Demand, addresses: Sequence[str]) -> Claimed:
    return Claimed(
        id=row.id,
        lease=uuid4(),
        mailbox=demand.mailbox,
        number=row.attempts + 1,
        started_at=demand.now,
        envelope=Envelope(row.mail_from, tuple(addresses), row.smtputf8),
        message_id=row.message_id,
        size=row.size,
        standing=Standing(row.due_since, row.expires_at, OnUnknown(row.on_unknown), row.unknown),
    )


def _attempt_row(claimed: Claimed) -> dict[str, Any]:
    return {
        "message_id": claimed.id,
        "number": claimed.number,
        "mailbox": claimed.mailbox,
        "lease": claimed.lease,
        "recipients": len(claimed.envelope.rcpt_to),
        "started_at": claimed.started_at,
        "phase": Phase.CONNECT,
        "in_doubt": False,
        "replies": [],
        "verdicts": {},
        "dialogue": [],
    }
