"""A mailbox gets another owner: its fence grows, and what the owner before had under way is judged like a lost line.

Both in one commit: after it no claim of the one before finds a message, no final dot of it leaves and no settlement
of it is written, and before it everything that may have been sent is read back by the new owner. It waits for nobody:
what another transaction holds just now is left for the next time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Boolean, Connection, bindparam, exists, func, or_, select, update

from app.store.mailboxes.ownership import LIVES
from app.store.mailboxes.records import Acquired, ClockSkew
from app.store.queue.recover import OPEN_ATTEMPTS, ExpiredLeases, put_back
from app.store.schema import ACTIVE, attempts, messages, owners, replicas

_o, _a, _m = owners.c, attempts.c, messages.c


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Request of a replica to own a mailbox. `by_force`: its owner is dead. `jitter` gives numbers in -1..1."""

    replica: UUID
    mailbox: str
    by_force: bool
    now: float
    clock_skew: ClockSkew
    jitter: Callable[[], float]


_FREE = (
    select(_o.token, _o.clock, _o.ahead)
    .where(
        _o.mailbox == bindparam("of"),
        or_(
            bindparam("by_force", type_=Boolean),
            ~exists().where(replicas.c.id == _o.replica, LIVES).correlate(owners),
        ),
    )
    .with_for_update(of=owners, skip_locked=True)
)
_OPEN = (_a.mailbox == bindparam("of"), _a.ended_at.is_(None), ACTIVE)
_LEFT = OPEN_ATTEMPTS.where(*_OPEN).order_by(_m.id).with_for_update(of=[messages, attempts], skip_locked=True)
_HOW_MANY = select(func.count()).select_from(attempts).join(messages, _m.id == _a.message_id).where(*_OPEN)
_TAKE = update(owners).where(_o.mailbox == bindparam("of")).values(token=_o.token + 1)


def acquire(connection: Connection, batch: Sequence[Acquisition]) -> list[Acquired | None]:
    """Take over mailboxes. None: a live replica owns the mailbox, or its rows are locked."""
    return [_acquire(connection, taking) for taking in batch]


def _acquire(connection: Connection, taking: Acquisition) -> Acquired | None:
    of = {"of": taking.mailbox}
    before = connection.execute(_FREE, {**of, "by_force": taking.by_force}).first()
    if before is None:
        return None
    rows = connection.execute(_LEFT, of).all()
    if len(rows) != connection.execute(_HOW_MANY, of).scalar():
        return None
    reading = taking.clock_skew
    connection.execute(_TAKE, {**of, "replica": taking.replica, "clock": reading.clock, "ahead": reading.ahead})
    left = put_back(connection, rows, ExpiredLeases(math.inf, taking.now, taking.jitter))
    ahead = reading.ahead - before.ahead if reading.clock and reading.clock == before.clock else 0.0
    return Acquired(taking.mailbox, before.token + 1, taking.now, tuple(left), ahead)
