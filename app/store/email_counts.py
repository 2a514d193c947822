"""Numbers of ended emails by the hour of their acceptance and by event, exact for the last HOURS_KEPT hours.

Every commit that ends an email, or changes an ended one, changes the numbers too. Its changes are summed in memory and
written by one statement at its end, in the order of the hours: so commits of replicas can wait for each other there,
and in no circle. A process has one of SLOTS rows of an hour, so that such waits are rare.
"""

from collections.abc import Collection, Mapping, Sequence
from random import randrange
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, func, select

from app.mail.lifecycle import ENDED_STATES, LastEvent, MessageState
from app.mail.times import HOUR
from app.store.db import uuid7
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.db.writer import BEFORE_COMMIT
from app.store.read.last_event import ENDED_EVENT, ENDED_EVENTS
from app.store.read.records import BoundedCount, NumbersSince
from app.store.schema import email_counts, messages

HOURS_KEPT = 48
SLOTS = 16
UNFINISHED_LIMIT = 10_000  # emails of one state; a larger number is reported as this one

_CHANGES, _NEWEST = "email_counts.changes", "email_counts.newest_hour"  # keys of Connection.info
_HOUR = HOUR * 1_000  # milliseconds, as ids have them
_SLOT = randrange(SLOTS)  # noqa: S311 - no secret
_ZEROS = {str(event): 0 for event in ENDED_EVENTS}
_Rows = dict[int, dict[str, int]]
_c, _m = email_counts.c, messages.c

_EVENTS = select(_m.id, ENDED_EVENT.label("event")).where(_m.id.in_(bindparam("ids", expanding=True)))
_REMOVE_OLD = PreparedStatement(delete(email_counts).where(_c.hour <= bindparam("oldest"), _c.slot == _SLOT))
_SUMS = PreparedStatement(
    select(*(func.coalesce(func.sum(_c[event]), 0).label(event) for event in ENDED_EVENTS)).where(
        _c.hour >= bindparam("first")
    )
)


def _add(dialect: str) -> Any:
    statement = upsert(dialect, email_counts)
    return statement.on_conflict_do_update(
        index_elements=[_c.hour, _c.slot],
        set_={event: _c[event] + statement.excluded[event] for event in ENDED_EVENTS},
    )


_ADD = PreparedStatement(_add)


def _unfinished(state: MessageState) -> Select[int]:
    some = select(_m.id).where(_m.state == state, _m.id >= bindparam("first")).limit(UNFINISHED_LIMIT)
    return select(func.count()).select_from(some.subquery())


_UNFINISHED = {state: _unfinished(state) for state in sorted({*MessageState} - ENDED_STATES)}


def hour_of(at: float) -> int:
    """Return the number of the hour of a time (epoch seconds)."""
    return int(at // HOUR)


def add_sent(connection: Connection, ids: Sequence[UUID]) -> None:
    """Count emails that have ended as sent."""
    if ids:
        rows = _changes(connection)
        for id in ids:
            _row(rows, id)["sent"] += 1


def add(connection: Connection, ids: Collection[UUID]) -> None:
    """Count those of these emails that have ended, each with its present event."""
    _change_all(connection, ids, 1)


def subtract(connection: Connection, ids: Collection[UUID]) -> None:
    """Uncount those of these emails that have ended, before they change; `add` counts them again."""
    _change_all(connection, ids, -1)


def ended_since(connection: Connection, hour: int) -> Mapping[LastEvent, int]:
    """Return by event the numbers of ended emails that were accepted in this hour or later."""
    row = _SUMS.first(connection, {"first": hour})
    return {event: int(getattr(row, event)) for event in ENDED_EVENTS}


def numbers_since(connection: Connection, hour: int) -> NumbersSince:
    """Return the numbers of emails that were accepted in this hour or later."""
    values = {"first": uuid7.first_at(hour * HOUR)}
    unfinished = [connection.execute(_UNFINISHED[state], values).scalar_one() for state in _UNFINISHED]
    return NumbersSince(
        hour * HOUR,
        ended_since(connection, hour),
        BoundedCount(sum(unfinished), more=max(unfinished) == UNFINISHED_LIMIT),
    )


def _change_all(connection: Connection, ids: Collection[UUID], by: int) -> None:
    if ids:
        found = connection.execute(_EVENTS, {"ids": [*ids]}).all()
        rows = _changes(connection)
        for id, event in found:
            if event is not None:
                _row(rows, id)[event] += by


def _changes(connection: Connection) -> _Rows:
    """Return the changes of this transaction: rows of the table, by hour."""
    info = connection.info
    if (rows := info.get(_CHANGES)) is None:
        rows = info[_CHANGES] = {}
        info[BEFORE_COMMIT] = _write
    return rows


def _row(rows: _Rows, id: UUID) -> dict[str, int]:
    hour = (id.int >> 80) // _HOUR
    if (row := rows.get(hour)) is None:
        row = rows[hour] = {"hour": hour, "slot": _SLOT, **_ZEROS}
    return row


def _write(connection: Connection) -> None:
    info = connection.info
    rows: _Rows = info.pop(_CHANGES)
    if not rows:
        return
    known = info.get(_NEWEST, -1)
    newest = max(known, *rows)
    oldest = newest - HOURS_KEPT
    if newest > known:
        info[_NEWEST] = newest
        _REMOVE_OLD.run(connection, [{"oldest": oldest}])
    if kept := [rows[hour] for hour in sorted(rows) if hour > oldest]:
        _ADD.run(connection, kept)
