"""Assignment of turn numbers to messages that become due. A claim takes the messages of a lane by turn (claim.py).

A turn is the start tag of start-time fair queueing with one message as the unit (Goyal, Vin, Cheng, SIGCOMM 1996): the
next message of an API key gets the turn after the key's last one, but never one that the lane has passed. So a claim
reads an index at a cost that does not grow with the queue. Of two messages with one turn, the older id goes first.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from app.frozen import frozen
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.schema import READY, messages, turns


@frozen
class LaneKey:
    """Queue of one API key in one lane of one pool. `lane` is the rank of the lane."""

    pool: str
    lane: int
    key_id: UUID


_m, _t = messages.c, turns.c
_LANE = (_t.pool == bindparam("pool"), _t.lane == bindparam("lane"))

_NEXT = PreparedStatement(
    select(_m.turn)
    .where(READY, _m.pool == bindparam("pool"), _m.lane == bindparam("lane"))
    .order_by(_m.turn, _m.id)
    .limit(1)
)
_LAST = PreparedStatement(select(_t.last).where(*_LANE, _t.key_id == bindparam("key_id")))
_NEWEST = PreparedStatement(select(_t.last).where(*_LANE).order_by(_t.last.desc()).limit(1))


def _advance(dialect: str) -> Any:
    statement = upsert(dialect, turns)
    return statement.on_conflict_do_update(
        index_elements=[_t.pool, _t.lane, _t.key_id],
        set_={"last": statement.excluded.last},
        where=_t.last < statement.excluded.last,
    )


_ADVANCE = PreparedStatement(_advance)


def assign_turns(connection: Connection, lane_keys: Sequence[LaneKey]) -> list[int]:
    """Return a turn for one message of each lane key, in this order, and store the last turns of the keys."""
    lanes: dict[tuple[str, int], int] = {}
    lasts: dict[tuple[str, int, int], int] = {}  # by the key's number: a UUID computes its hash in Python
    by_name: dict[tuple[str, int, int], LaneKey] = {}
    assigned = []
    for lane_key in lane_keys:
        name = lane_key.pool, lane_key.lane, lane_key.key_id.int
        if name not in lasts:
            if (lane := name[:2]) not in lanes:
                lanes[lane] = current_turn(connection, *lane)
            lasts[name], by_name[name] = _last(connection, lane_key), lane_key
        lasts[name] = max(lasts[name] + 1, lanes[name[:2]])
        assigned.append(lasts[name])
    # In one order everywhere: no deadlock.
    rows = sorted(({**_values(by_name[name]), "last": last} for name, last in lasts.items()), key=str)
    _ADVANCE.run(connection, rows)
    return assigned


def current_turn(connection: Connection, pool: str, lane: int) -> int:
    """Return the turn of the lane's first message; if nothing is due in it, the highest turn ever assigned, or 0."""
    if (turn := first_turn(connection, pool, lane)) is not None:
        return turn
    found = _NEWEST.first(connection, {"pool": pool, "lane": lane})
    return found.last if found else 0


def first_turn(connection: Connection, pool: str, lane: int) -> int | None:
    """Return the turn of the lane's first message; None if nothing is due in it."""
    found = _NEXT.first(connection, {"pool": pool, "lane": lane})
    return found.turn if found else None


def _last(connection: Connection, lane_key: LaneKey) -> int:
    found = _LAST.first(connection, _values(lane_key))
    return found.last if found else -1


def _values(lane_key: LaneKey) -> dict[str, Any]:
    return {"pool": lane_key.pool, "lane": lane_key.lane, "key_id": lane_key.key_id}
