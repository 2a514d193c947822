"""Usage of the API keys' rate limits, counted in the transaction that stores the messages.

A key's row is locked from the read to the end of the transaction, so that a limit is exact over all processes. Without
a limit nothing is read or written here; with one, all units are counted, so that a limit added later includes the day
so far.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.frozen import frozen
from app.mail.key_policy import UNUSED, Amount, RateLimit, Usage, Window
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.schema import budgets


@frozen
class Consumption:
    """An amount that a key submits at `now` (epoch seconds), to be counted against its rate limit."""

    key_id: UUID
    rate_limit: RateLimit
    amount: Amount
    now: float


@frozen
class ConsumptionOutcome:
    """Usage of a key afterwards. `exceeded`: the window whose limit was reached, so nothing was counted."""

    usage: Usage
    exceeded: Window | None


_b = budgets.c
_COLUMNS = (
    _b.minute,
    _b.minute_used,
    _b.minute_recipients,
    _b.minute_bytes,
    _b.day,
    _b.day_used,
    _b.day_recipients,
    _b.day_bytes,
)
_OF_KEY = select(*_COLUMNS).where(_b.key_id == bindparam("key_id"))

_FIND = PreparedStatement(_OF_KEY)
_LOCK = PreparedStatement(_OF_KEY.with_for_update())
_BEGIN = PreparedStatement(lambda dialect: upsert(dialect, budgets).on_conflict_do_nothing())
_KEEP = PreparedStatement(
    update(budgets).where(_b.key_id == bindparam("api_key")), sets=[column.name for column in _COLUMNS]
)


def consume(connection: Connection, asked: Mapping[int, Consumption]) -> dict[int, ConsumptionOutcome]:
    """Count the amounts in order; one that exceeds the limit of its key is not counted."""
    outcomes: dict[int, ConsumptionOutcome] = {}
    for key_id in sorted({consumption.key_id for consumption in asked.values()}):  # one lock order: no deadlock
        before = usage = _locked(connection, key_id)
        for place, consumption in asked.items():
            if consumption.key_id == key_id:
                usage = usage.at(consumption.now)
                exceeded = consumption.rate_limit.exceeded(usage, consumption.amount)
                if exceeded is None:
                    usage = usage.plus(consumption.amount)
                outcomes[place] = ConsumptionOutcome(usage, exceeded)
        if usage != before:
            _KEEP.run(connection, [{"api_key": key_id, **_row(usage)}])
    return outcomes


def find(connection: Connection, key_id: UUID) -> Usage:
    """Return the usage of one key."""
    row = _FIND.first(connection, {"key_id": key_id})
    return UNUSED if row is None else _usage(row)


def _locked(connection: Connection, key_id: UUID) -> Usage:
    """Return the usage from the key's row, which is created if missing and locked."""
    row = _LOCK.first(connection, {"key_id": key_id})
    if row is None:
        _BEGIN.run(connection, [{"key_id": key_id, **_row(UNUSED)}])
        row = _LOCK.first(connection, {"key_id": key_id})
    return _usage(row)


def _usage(row: Sequence[int]) -> Usage:
    minute, *in_minute = row[:4]
    day, *in_day = row[4:]
    return Usage(minute, Amount(*in_minute), day, Amount(*in_day))


def _row(usage: Usage) -> dict[str, Any]:
    minute, day = usage.in_minute, usage.in_day
    values = (
        usage.minute,
        minute.messages,
        minute.recipients,
        minute.bytes,
        usage.day,
        day.messages,
        day.recipients,
        day.bytes,
    )
    return {column.name: value for column, value in zip(_COLUMNS, values, strict=True)}
