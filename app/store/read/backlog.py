"""Numbers for metrics: the backlog of the queue and of the webhooks, and the size of the suppression list. Reads only.

The cost does not grow with the backlog: each number is counted along an index up to COUNT_LIMIT. The oldest due message
of a lane is among its next OLDEST_SCAN messages, because each API key has its first one there (see fair_queue.py).
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, select

from app.mail.lifecycle import MessageState
from app.mail.message.message import Lane
from app.mail.suppression import Origin
from app.store.queue.claim import LANES
from app.store.read.records import WAITING_KINDS, Backlog, Waiting, WaitingKind
from app.store.schema import (
    ACTIVE,
    PENDING_DELIVERY,
    READY,
    RESTING,
    messages,
    suppressions,
    webhook_deliveries,
    webhooks,
)
from app.store.webhooks.records import WebhookStatus

COUNT_LIMIT = 10_000  # messages of one kind; a larger number is reported as this one
OLDEST_SCAN = 1_000  # messages
MAX_WEBHOOKS = 50  # webhooks
SUPPRESSION_LIMIT = 100_000  # suppressed addresses of one origin

_m, _d, _w, _s = messages.c, webhook_deliveries.c, webhooks.c, suppressions.c
_LANE = (READY, _m.pool == bindparam("pool"), _m.lane == bindparam("in_lane"))

_counted = select(_m.id).where(*_LANE).limit(COUNT_LIMIT).subquery()
_next = select(_m.due_at).where(*_LANE).order_by(_m.turn, _m.id).limit(OLDEST_SCAN).subquery()
_READY = select(func.count()).select_from(_counted)
_OLDEST = select(func.min(_next.c.due_at))
_resting = (
    select(_m.lane, _m.due_at)
    .where(RESTING, _m.pool == bindparam("pool"))
    .order_by(_m.due_at, _m.id)
    .limit(COUNT_LIMIT)
    .subquery()
)


def _of_lane(lane: Lane) -> tuple[ColumnElement[int], ColumnElement[float]]:
    """Return the number of resting messages of a lane, and the earliest due time if it has come.

    A due message may have no turn yet: a claim assigns it, and paused mailboxes claim nothing.
    """
    here = _resting.c.lane == lane.rank
    due = _resting.c.due_at <= bindparam("now")
    return func.count(case((here, 1))), func.min(case((and_(here, due), _resting.c.due_at)))


_RESTING = select(*(column for lane in LANES for column in _of_lane(lane)))
_OTHERS: dict[WaitingKind, Select[str, int]] = {
    "active": select(_m.pool, _m.lane).where(ACTIVE).limit(COUNT_LIMIT),
    "held": select(_m.pool, _m.lane).where(_m.state == MessageState.HELD).limit(COUNT_LIMIT),
}
_listed = select(_s.id).where(_s.origin == bindparam("origin_name")).limit(SUPPRESSION_LIMIT).subquery()
_SUPPRESSED = select(func.count()).select_from(_listed)
_ENDPOINTS = select(_w.id).where(_w.status == WebhookStatus.ENABLED).limit(MAX_WEBHOOKS)
_pending = (
    select(_d.next_at).where(PENDING_DELIVERY, _d.webhook_id == bindparam("webhook")).limit(COUNT_LIMIT).subquery()
)
_PENDING = select(func.count(), func.min(_pending.c.next_at)).select_from(_pending)


def backlog(connection: Connection, pools: Sequence[str], now: float) -> Backlog:
    """Return the numbers of these pools, of all webhooks and of the suppression list at `now` (epoch seconds).

    They end at their limits, such as COUNT_LIMIT.
    """
    waiting = Counter({Waiting(pool, lane, kind): 0 for pool in pools for lane in LANES for kind in WAITING_KINDS})
    oldest: dict[tuple[str, Lane], float] = {}
    for pool in pools:
        resting = connection.execute(_RESTING, {"pool": pool, "now": now}).one()
        for lane, number, since in zip(LANES, resting[::2], resting[1::2], strict=True):
            values = {"pool": pool, "in_lane": lane.rank}
            waiting[Waiting(pool, lane, "ready")] = connection.execute(_READY, values).scalar_one()
            waiting[Waiting(pool, lane, "resting")] = int(number)
            if due := [at for at in (connection.execute(_OLDEST, values).scalar(), since) if at is not None]:
                oldest[pool, lane] = min(due)
    for kind, statement in _OTHERS.items():
        rows = connection.execute(statement)
        waiting.update(Waiting(row.pool, LANES[row.lane], kind) for row in rows if row.pool in pools)
    listed = {origin: connection.execute(_SUPPRESSED, {"origin_name": origin}).scalar_one() for origin in Origin}
    return Backlog(waiting, oldest, *_events(connection), listed)


def webhook_backlog(connection: Connection, id: UUID) -> int:
    """Return the number of pending deliveries of one webhook, at most COUNT_LIMIT."""
    count: int = connection.execute(_PENDING, {"webhook": id}).one()[0]
    return count


def _events(connection: Connection) -> tuple[int, float | None]:
    """Return the number of pending deliveries of the enabled webhooks, and the earliest time one was due."""
    endpoints = connection.execute(_ENDPOINTS).scalars().all()
    found = [connection.execute(_PENDING, {"webhook": id}).one() for id in endpoints]
    return sum(count for count, _ in found), min((since for _, since in found if since is not None), default=None)
