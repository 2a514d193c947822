"""Coalescing: of an API key's waiting messages of one pool with one `coalesce` value, the newest supersedes the others.

It inherits their first turn in its lane: else a caller that always submits newer ones would never have one sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, update

from app.mail.lifecycle import SUPERSEDED, MessageState
from app.store.db.prepared import PreparedStatement
from app.store.records import Acceptance
from app.store.schema import COALESCING, messages
from app.store.webhooks import outbox

_m = messages.c
_SAME = (COALESCING, _m.key_id == bindparam("key"), _m.coalesce == bindparam("value"), _m.pool == bindparam("of"))

_FIRST = PreparedStatement(select(func.min(_m.turn).label("turn")).where(*_SAME, _m.lane == bindparam("in_lane")))
_SUPERSEDED_IDS = PreparedStatement(select(_m.id).where(*_SAME, _m.id != bindparam("newest")))
_SUPERSEDE = PreparedStatement(
    update(messages)
    .where(*_SAME, _m.id != bindparam("newest"))
    .values(
        state=MessageState.CANCELLED,
        due_at=None,
        turn=None,
        ended_at=bindparam("now"),
        explanation=asdict(SUPERSEDED),
    )
)


def inherited(connection: Connection, fresh: Sequence[Acceptance]) -> dict[UUID, int]:
    """Return the turns that new messages inherit from those they supersede."""
    turns = {}
    for one in _newest(fresh):
        values = {"key": one.key_id, "value": one.coalesce, "of": one.pool, "in_lane": one.lane.rank}
        found = _FIRST.first(connection, values)
        if one.due_at <= one.created_at and found.turn is not None:
            turns[one.id] = found.turn
    return turns


def supersede(connection: Connection, fresh: Sequence[Acceptance]) -> dict[UUID, list[UUID]]:
    """Cancel the waiting messages with the same values; return by new id the ids replaced."""
    rows: list[dict[str, Any]] = [
        {"key": one.key_id, "value": one.coalesce, "of": one.pool, "newest": one.id, "now": one.created_at}
        for one in _newest(fresh)
    ]
    if not rows:
        return {}
    replaced = {row["newest"]: [found.id for found in _SUPERSEDED_IDS.all(connection, row)] for row in rows}
    _SUPERSEDE.run(connection, rows)
    outbox.ended(connection, {id: row["now"] for row in rows for id in replaced[row["newest"]]})
    return replaced


def _newest(fresh: Sequence[Acceptance]) -> Iterable[Acceptance]:
    """Return the last message of each coalesce value in this batch."""
    return {(one.key_id, one.pool, one.coalesce): one for one in fresh if one.coalesce is not None}.values()
