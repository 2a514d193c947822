"""Queue position of a waiting message, or of one that a key would submit now, with the mailboxes of its pool.

Fewer messages ahead than `exact` (EXACT_COUNT_LIMIT) are counted; more are estimated from the turns of the API keys, so
that the cost does not grow with the queue. The recipients of the last 24 hours are read only for an estimate.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from app.mail.times import DAY, MINUTE
from app.store.mailboxes import conditions
from app.store.mailboxes.records import MailboxRecord
from app.store.queue.fair_queue import LaneKey, current_turn, first_turn
from app.store.read.messages import sent_since
from app.store.read.records import QueuePosition
from app.store.records import LAST_ID
from app.store.schema import READY, attempts, messages, turns

EXACT_COUNT_LIMIT = 1_000  # messages ahead; from this number on they are estimated

_m, _t, _a = messages.c, turns.c, attempts.c
_LANE = bindparam("in_lane", type_=_m.lane.type)
_TURN = bindparam("in_turn", type_=_m.turn.type)
_ID = bindparam("this", type_=_m.id.type)

_PLACE = select(_m.pool, _m.lane, _m.turn).where(_m.id == _ID)
_LAST = select(_t.last).where(
    _t.pool == bindparam("pool"), _t.lane == bindparam("lane"), _t.key_id == bindparam("key_id")
)


def _count(*before: ColumnElement[bool]) -> Select[int]:
    found = select(_m.id).where(READY, _m.pool == bindparam("in_pool"), *before).limit(bindparam("exact")).subquery()
    return select(func.count()).select_from(found)


_COUNTS = (  # messages of higher lanes, of earlier turns, and of the same turn with an older id
    _count(_m.lane < _LANE),
    _count(_m.lane == _LANE, _m.turn < _TURN),
    _count(_m.lane == _LANE, _m.turn == _TURN, _m.id < _ID),
)
_KEYS = select(_t.last).where(_t.pool == bindparam("in_pool"), _t.lane == _LANE, _t.last >= bindparam("from_turn"))
_RECIPIENTS = select(func.coalesce(func.sum(_a.recipients), 0)).where(
    _a.mailbox == bindparam("sender"), _a.ended_at > bindparam("since")
)


def queue_position(connection: Connection, id: UUID, now: float, exact: int) -> QueuePosition | None:
    """Return the position of a waiting message at `now` (epoch seconds); None if there is no such message.

    The messages ahead are estimated if they are `exact` or more.
    """
    place = connection.execute(_PLACE, {"this": id}).one_or_none()
    if place is None:
        return None
    ahead = None if place.turn is None else _ahead(connection, id, place.pool, place.lane, place.turn, exact)
    return _queue_position(connection, place.pool, ahead, now, exact)


def position_of_next(connection: Connection, lane_key: LaneKey, now: float) -> QueuePosition:
    """Return the position of a message that the API key would submit at `now` (epoch seconds)."""
    pool, lane = lane_key.pool, lane_key.lane
    last = connection.execute(_LAST, {"pool": pool, "lane": lane, "key_id": lane_key.key_id}).scalar()
    turn = max(0 if last is None else last + 1, current_turn(connection, pool, lane))
    ahead = _ahead(connection, LAST_ID, pool, lane, turn, EXACT_COUNT_LIMIT)
    return _queue_position(connection, pool, ahead, now, EXACT_COUNT_LIMIT)


def _queue_position(connection: Connection, pool: str, ahead: int | None, now: float, exact: int) -> QueuePosition:
    mailboxes = [record for record in conditions.list_all(connection) if record.pool == pool]
    is_estimate = ahead is not None and ahead >= exact
    return QueuePosition(
        ahead=ahead,
        mailboxes=tuple(mailboxes),
        sent={mailbox.name: _sent_last_minute(connection, mailbox, now) for mailbox in mailboxes},
        recipients={
            mailbox.name: _recipients_last_day(connection, mailbox, now) if is_estimate else 0 for mailbox in mailboxes
        },
    )


def _ahead(connection: Connection, id: UUID, pool: str, lane: int, turn: int, exact: int) -> int:
    values = {"in_pool": pool, "in_lane": lane, "in_turn": turn, "this": id, "exact": exact}
    counted = sum(connection.execute(count, values).scalar_one() for count in _COUNTS)
    if counted < exact:
        return counted
    before = sum(_estimated(connection, pool, higher, None) for higher in range(lane))
    return max(exact, before + _estimated(connection, pool, lane, turn))


def _estimated(connection: Connection, pool: str, lane: int, turn: int | None) -> int:
    """Estimate the messages before `turn` (None: all): each key has one at every turn from the current to its last."""
    if (current := first_turn(connection, pool, lane)) is None:
        return 0
    lasts = connection.execute(_KEYS, {"in_pool": pool, "in_lane": lane, "from_turn": current}).scalars()
    return sum(min(last, last if turn is None else turn - 1) - current + 1 for last in lasts)


def _sent_last_minute(connection: Connection, mailbox: MailboxRecord, now: float) -> tuple[float, ...]:
    return tuple(send.at for send in sent_since(connection, mailbox.name, now - MINUTE))


def _recipients_last_day(connection: Connection, mailbox: MailboxRecord, now: float) -> int:
    return int(connection.execute(_RECIPIENTS, {"sender": mailbox.name, "since": now - DAY}).scalar_one())
