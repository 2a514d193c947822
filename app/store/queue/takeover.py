"""Take-over of a mailbox: its fencing token grows, and its active messages are requeued as after a lost connection.

Both happen in one commit. After it the former owner cannot claim, mark a final dot or settle; everything that it may
have sent is known to the new owner. A take-over does not wait for locks: if rows are locked, it is repeated later.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Boolean, Connection, bindparam, exists, func, or_, select, update

from app.store.db.batch import per_argument
from app.store.mailboxes.ownership import ALIVE
from app.store.mailboxes.records import Acquired, ClockSkew
from app.store.queue.recover import OPEN_ATTEMPTS, ExpiredLeases, requeue
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
        _o.mailbox == bindparam("mailbox_name"),
        or_(
            bindparam("by_force", type_=Boolean),
            ~exists().where(replicas.c.id == _o.replica, ALIVE).correlate(owners),
        ),
    )
    .with_for_update(of=owners, skip_locked=True)
)
_OPEN = (_a.mailbox == bindparam("mailbox_name"), _a.ended_at.is_(None), ACTIVE)
_UNFINISHED = OPEN_ATTEMPTS.where(*_OPEN).order_by(_m.id).with_for_update(of=[messages, attempts], skip_locked=True)
_COUNT = select(func.count()).select_from(attempts).join(messages, _m.id == _a.message_id).where(*_OPEN)
_TAKE = update(owners).where(_o.mailbox == bindparam("mailbox_name")).values(token=_o.token + 1)


@per_argument
def acquire(connection: Connection, request: Acquisition) -> Acquired | None:
    """Take over a mailbox. None: a live replica owns it, or its rows are locked."""
    mailbox = {"mailbox_name": request.mailbox}
    before = connection.execute(_FREE, {**mailbox, "by_force": request.by_force}).first()
    if before is None:
        return None
    rows = connection.execute(_UNFINISHED, mailbox).all()
    if len(rows) != connection.execute(_COUNT, mailbox).scalar():
        return None
    skew = request.clock_skew
    connection.execute(_TAKE, {**mailbox, "replica": request.replica, "clock": skew.clock, "ahead": skew.ahead})
    recovered = requeue(connection, rows, ExpiredLeases(math.inf, request.now, request.jitter))
    unfinished = tuple((id, in_doubt) for id, in_doubt in recovered if in_doubt is not None)
    ahead = skew.ahead - before.ahead if skew.clock and skew.clock == before.clock else 0.0
    return Acquired(request.mailbox, before.token + 1, request.now, unfinished, ahead)
