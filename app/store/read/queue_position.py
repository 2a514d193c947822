"""What a message waits for, or would: how many go before it, and the mailboxes of its pool with what they sent.

The place in the queue is counted while it is near, and otherwise reckoned from the turns of the API keys, so that it
costs the same however many wait.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from app.mail.time_units import DAY, MINUTE
from app.store.db.prepared import PreparedStatement
from app.store.mailboxes import conditions
from app.store.mailboxes.records import MailboxRecord
from app.store.queue.fair_queue import LaneKey, current_turn, first_turn
from app.store.read.messages import sent_since
from app.store.read.records import QueuePosition
from app.store.records import LAST_ID
from app.store.schema import READY, attempts, messages, turns

EXACT_COUNT_LIMIT = 1_000  # messages that are counted one by one

_m, _t, _a = messages.c, turns.c, attempts.c
_LANE = bindparam("in_lane", type_=_m.lane.type)
_TURN = bindparam("at_turn", type_=_m.turn.type)
_ID = bindparam("of", type_=_m.id.type)


_PLACE = PreparedStatement(select(_m.pool, _m.lane, _m.turn).where(_m.id == _ID))
_LAST = PreparedStatement(
    select(_t.last).where(_t.pool == bindparam("pool"), _t.lane == bindparam("lane"), _t.key_id == bindparam("key_id"))
)


def _count(*before: ColumnElement[bool]) -> PreparedStatement:
    found = select(_m.id).where(READY, _m.pool == bindparam("in_pool"), *before).limit(EXACT_COUNT_LIMIT).subquery()
    return PreparedStatement(select(func.count().label("number")).select_from(found))


_NEAR = (
    _count(_m.lane < _LANE),
    _count(_m.lane == _LANE, _m.turn < _TURN),
    _count(_m.lane == _LANE, _m.turn == _TURN, _m.id < _ID),
)
_KEYS = PreparedStatement(
    select(_t.last).where(and_(_t.pool == bindparam("in_pool"), _t.lane == _LANE, _t.last >= bindparam("from_turn")))
)
_RECIPIENTS = PreparedStatement(
    select(func.sum(_a.recipients).label("number")).where(
        _a.mailbox == bindparam("by"), _a.ended_at > bindparam("since")
    )
)


def queue_position(connection: Connection, id: UUID, now: float) -> QueuePosition | None:
    """For a waiting message; None when there is none of that id."""
    place = _PLACE.first(connection, {"of": id})
    if place is None:
        return None
    ahead = None if place.turn is None else _ahead(connection, id, place.pool, place.lane, place.turn)
    return _queue_position(connection, place.pool, ahead, now)


def position_of_next(connection: Connection, lane_key: LaneKey, now: float) -> QueuePosition:
    """For the message that this key would hand in now."""
    found = _LAST.first(connection, {"pool": lane_key.pool, "lane": lane_key.lane, "key_id": lane_key.key_id})
    turn = max(found.last + 1 if found else 0, current_turn(connection, lane_key.pool, lane_key.lane))
    return _queue_position(
        connection, lane_key.pool, _ahead(connection, LAST_ID, lane_key.pool, lane_key.lane, turn), now
    )


def _queue_position(connection: Connection, pool: str, ahead: int | None, now: float) -> QueuePosition:
    of_pool = [record for record in conditions.list_all(connection) if record.pool == pool]
    deep = ahead is not None and ahead >= EXACT_COUNT_LIMIT
    return QueuePosition(
        ahead=ahead,
        mailboxes=tuple(of_pool),
        sent={one.name: _sent(connection, one, now) for one in of_pool},
        recipients={one.name: _today(connection, one, now) if deep else 0 for one in of_pool},
    )


def _ahead(connection: Connection, id: UUID, pool: str, lane: int, turn: int) -> int:
    values = {"in_pool": pool, "in_lane": lane, "at_turn": turn, "of": id}
    counted: int = sum(count.first(connection, values).number for count in _NEAR)
    if counted < EXACT_COUNT_LIMIT:
        return counted
    before = sum(_estimated(connection, pool, higher, None) for higher in range(lane))
    return max(EXACT_COUNT_LIMIT, before + _estimated(connection, pool, lane, turn))


def _estimated(connection: Connection, pool: str, lane: int, turn: int | None) -> int:
    """Each key has one message at every turn between the one that is served and its last: those before `turn`."""
    if (now := first_turn(connection, pool, lane)) is None:
        return 0
    lasts = _KEYS.all(connection, {"in_pool": pool, "in_lane": lane, "from_turn": now})
    return sum(min(last, last if turn is None else turn - 1) - now + 1 for (last,) in lasts)


def _sent(connection: Connection, mailbox: MailboxRecord, now: float) -> tuple[float, ...]:
    return tuple(one.at for one in sent_since(connection, mailbox.name, now - MINUTE))


def _today(connection: Connection, mailbox: MailboxRecord, now: float) -> int:
    found: int | None = _RECIPIENTS.first(connection, {"by": mailbox.name, "since": now - DAY}).number
    return found or 0
