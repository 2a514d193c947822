"""Turns of the API keys in a lane, message by message, assigned when a message becomes due.

This is start-time fair queueing with one message as the unit (Goyal, Vin, Cheng, SIGCOMM 1996): the next message of a
key gets the turn after its last one, but never one that the lane has passed. So a claim reads the next messages from an
index at a cost that does not grow with the queue. Two processes may assign the same turn: then the older id goes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select

from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.schema import READY, messages, turns


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Lane of a pool and API key. `lane` is its rank."""

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


def assign_turns(connection: Connection, places: Sequence[LaneKey]) -> list[int]:
    """Return the next turn for each, in this order."""
    lanes: dict[tuple[str, int], int] = {}
    lasts: dict[tuple[str, int, int], int] = {}  # by the key's number: a UUID computes its hash in Python
    places_of: dict[tuple[str, int, int], LaneKey] = {}
    taken = []
    for place in places:
        name = place.pool, place.lane, place.key_id.int
        if name not in lasts:
            if (lane := name[:2]) not in lanes:
                lanes[lane] = current_turn(connection, *lane)
            lasts[name], places_of[name] = _last(connection, place), place
        lasts[name] = max(lasts[name] + 1, lanes[name[:2]])
        taken.append(lasts[name])
    # In one order everywhere: no deadlock.
    rows = sorted(({**_values(places_of[name]), "last": last} for name, last in lasts.items()), key=str)
    _ADVANCE.run(connection, rows)
    return taken


def current_turn(connection: Connection, pool: str, lane: int) -> int:
    """Return the current turn of the lane; the newest ever if nothing is due in it."""
    if (turn := first_turn(connection, pool, lane)) is not None:
        return turn
    found = _NEWEST.first(connection, {"pool": pool, "lane": lane})
    return found.last if found else 0


def first_turn(connection: Connection, pool: str, lane: int) -> int | None:
    """Return the turn of the lane's first message; None if nothing is due in it."""
    found = _NEXT.first(connection, {"pool": pool, "lane": lane})
    return found.turn if found else None


def _last(connection: Connection, place: LaneKey) -> int:
    found = _LAST.first(connection, _values(place))
    return found.last if found else -1


def _values(place: LaneKey) -> dict[str, Any]:
    return {"pool": place.pool, "lane": place.lane, "key_id": place.key_id}
