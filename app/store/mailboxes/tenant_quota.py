"""Daily recipients of a tenant, drawn by replicas. A draw counts as sent for a day.

So the limit holds over all replicas; the unused draw of a dead replica is lost for a day.
"""

from uuid import UUID, uuid4

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from app.store.db.dialect import DatabaseNow
from app.store.db.writer import per_argument
from app.store.mailboxes.records import QuotaGrant, QuotaRequest
from app.store.schema import allowances, attempts, owners

_c = allowances.c
_NIL = UUID(int=0)  # row that is locked during a draw

_LOCK = select(_c.id).where(_c.id == _NIL).with_for_update(skip_locked=True)
_GIVE_BACK = (
    update(allowances)
    .where(_c.id == bindparam("grant"))
    .values(recipients=_c.recipients - bindparam("unused", type_=_c.recipients.type))
)
_DELETE_EXPIRED = delete(allowances).where(_c.until <= DatabaseNow())
_COUNTED = select(func.count(), func.coalesce(func.sum(_c.recipients), 0)).where(_c.id != _NIL)
_SENT = select(func.coalesce(func.sum(attempts.c.recipients), 0)).where(
    attempts.c.mailbox.in_(select(owners.c.mailbox)),
    or_(attempts.c.ended_at > bindparam("since"), attempts.c.ended_at.is_(None)),
)


@per_argument
def draw_quota(connection: Connection, request: QuotaRequest) -> QuotaGrant | None:
    """Grant up to the remaining recipients. None: another replica draws now; try again."""
    if connection.execute(_LOCK).scalar() is None:
        return None
    if request.before is not None:
        connection.execute(_GIVE_BACK, {"grant": request.before, "unused": request.unused})
    connection.execute(_DELETE_EXPIRED)
    remaining = max(0, request.limit - _counted(connection, request))
    given = min(request.amount, remaining)
    if not given:  # recipients given back later still belong to the row before
        return QuotaGrant(request.before or _NIL, 0, remaining)
    id = uuid4()
    _write(connection, id, given, request.lasts)
    return QuotaGrant(id, given, remaining - given)


def _counted(connection: Connection, request: QuotaRequest) -> int:
    draws, recipients = connection.execute(_COUNTED).one()
    if not draws:  # the limit is new: count the recipients sent so far
        recipients = connection.execute(_SENT, {"since": request.since}).scalar_one()
        _write(connection, uuid4(), recipients, request.lasts)
    return int(recipients)


def _write(connection: Connection, id: UUID, recipients: int, lasts: float) -> None:
    connection.execute(insert(allowances).values(id=id, recipients=recipients, until=DatabaseNow() + lasts))
