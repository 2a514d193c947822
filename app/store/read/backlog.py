"""What waits, for whoever watches: how much of it, and since when its oldest is due. Writes nothing.

What it costs is bounded, however much waits: nothing is counted beyond COUNT_LIMIT, each along an index. The oldest due
message of a lane is found among its next OLDEST_SCAN: each API key has its first one there (see fair_queue.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, case, func, select

from app.mail.lifecycle import MessageState
from app.mail.message.message import Lane
from app.store.db.prepared import PreparedStatement
from app.store.queue.claim import LANES
from app.store.read.records import Backlog, Waiting
from app.store.schema import ACTIVE, PENDING_DELIVERY, READY, RESTING, messages, webhook_deliveries, webhooks
from app.store.webhooks.records import WebhookStatus

COUNT_LIMIT = 10_000  # messages of one kind; more count as so many
OLDEST_SCAN = 1_000
MAX_WEBHOOKS = 50  # webhooks

_m, _d, _w = messages.c, webhook_deliveries.c, webhooks.c
_LANE = (READY, _m.pool == bindparam("pool"), _m.lane == bindparam("in_lane"))

_some = select(_m.id).where(*_LANE).limit(COUNT_LIMIT).subquery()
_READY = PreparedStatement(select(func.count().label("count_")).select_from(_some))
_next = select(_m.due_at).where(*_LANE).order_by(_m.turn, _m.id).limit(OLDEST_SCAN).subquery()
_OLDEST = PreparedStatement(select(func.min(_next.c.due_at).label("since")))


def _resting() -> PreparedStatement:
    """Of each lane how many, and the first that is due and has no turn yet: nobody claims while a mailbox rests."""
    some = (
        select(_m.lane, _m.due_at)
        .where(RESTING, _m.pool == bindparam("pool"))
        .order_by(_m.due_at, _m.id)
        .limit(COUNT_LIMIT)
        .subquery()
    )
    due = some.c.due_at <= bindparam("now")
    return PreparedStatement(
        select(
            *(func.count(case((some.c.lane == lane.rank, 1))).label(f"count_{lane}") for lane in LANES),
            *(
                func.min(case((and_(some.c.lane == lane.rank, due), some.c.due_at))).label(f"since_{lane}")
                for lane in LANES
            ),
        )
    )


_RESTING = _resting()
_ACTIVE = PreparedStatement(select(_m.pool, _m.lane).where(ACTIVE).limit(COUNT_LIMIT))
_HELD = PreparedStatement(select(_m.pool, _m.lane).where(_m.state == MessageState.HELD).limit(COUNT_LIMIT))
_ENDPOINTS = PreparedStatement(select(_w.id).where(_w.status == WebhookStatus.ENABLED).limit(MAX_WEBHOOKS))
_untold = select(_d.next_at).where(PENDING_DELIVERY, _d.webhook_id == bindparam("of")).limit(COUNT_LIMIT).subquery()
_UNTOLD = PreparedStatement(select(func.count().label("count_"), func.min(_untold.c.next_at).label("since")))


def backlog(connection: Connection, pools: Sequence[str], now: float) -> Backlog:
    """Return the backlog of these pools at `now` (epoch seconds)."""
    waiting: Counter[Waiting] = Counter()
    oldest: dict[tuple[str, Lane], float] = {}
    for pool in pools:
        resting = _RESTING.first(connection, {"pool": pool, "now": now})._asdict()
        for lane in LANES:
            values = {"pool": pool, "in_lane": lane.rank}
            waiting[Waiting(pool, lane, "ready")] = _READY.first(connection, values).count_
            waiting[Waiting(pool, lane, "resting")] = resting[f"count_{lane}"]
            due = [since for since in (_OLDEST.first(connection, values).since, resting[f"since_{lane}"]) if since]
            if due:
                oldest[pool, lane] = min(due)
            waiting[Waiting(pool, lane, "active")] = waiting[Waiting(pool, lane, "held")] = 0
    waiting.update(Waiting(row.pool, LANES[row.lane], "active") for row in _ACTIVE.all(connection, {}))
    waiting.update(Waiting(row.pool, LANES[row.lane], "held") for row in _HELD.all(connection, {}))
    events, since = _events(connection)
    return Backlog({one: count for one, count in waiting.items() if one.pool in pools}, oldest, events, since)


def webhook_backlog(connection: Connection, id: UUID) -> int:
    """Return the number of pending deliveries of one webhook."""
    count: int = _UNTOLD.first(connection, {"of": id}).count_
    return count


def _events(connection: Connection) -> tuple[int, float | None]:
    """How many the enabled webhooks are still to be told of, and the moment at which the first was to be told."""
    found: list[Any] = [_UNTOLD.first(connection, {"of": endpoint.id}) for endpoint in _ENDPOINTS.all(connection, {})]
    return sum(row.count_ for row in found), min((row.since for row in found if row.since is not None), default=None)
