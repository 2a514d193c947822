"""Counts of what the API keys have used of their budgets. Charged in the transaction that keeps the messages.

A key's row is locked from the read to the end of the transaction, so that a budget is exact however many processes
accept by it. Without a budget nothing is read or written here; with one, every unit is counted, so that a limit that
is added later knows the day so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.mail.rate_limit import UNUSED, Amount, RateLimit, Usage, Window
from app.store.db.dialect import upsert
from app.store.db.prepared import PreparedStatement
from app.store.records import Acceptance
from app.store.schema import budgets


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount that a key submits at `now` (epoch seconds)."""

    key_id: UUID
    budget: RateLimit
    amount: Amount
    now: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The use of a key's budget after a charge. `exceeded`: the window that had no room, so nothing was charged."""

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
    update(budgets).where(_b.key_id == bindparam("of")), sets=[column.name for column in _COLUMNS]
)


def amount_of(acceptances: Sequence[Acceptance]) -> Amount:
    """The size of these messages together, as it counts against a budget."""
    return Amount(
        len(acceptances),
        sum(len(one.message.envelope.rcpt_to) for one in acceptances),
        sum(len(one.message.content) for one in acceptances),
    )


def charge(connection: Connection, charges: Mapping[int, Charge]) -> dict[int, Outcome]:
    """Charge each, in their order, as far as a key's budget goes."""
    outcomes: dict[int, Outcome] = {}
    for key_id in sorted({one.key_id for one in charges.values()}):  # in one order everywhere: no deadlock
        before = usage = _locked(connection, key_id)
        for place, one in charges.items():
            if one.key_id == key_id:
                usage = usage.at(one.now)
                exceeded = one.budget.exceeded(usage, one.amount)
                if exceeded is None:
                    usage = usage.plus(one.amount)
                outcomes[place] = Outcome(usage, exceeded)
        if usage != before:
            _KEEP.run(connection, [{"of": key_id, **_row(usage)}])
    return outcomes


def find(connection: Connection, key_id: UUID) -> Usage:
    """The use of one key's budget."""
    row = _FIND.first(connection, {"key_id": key_id})
    return UNUSED if row is None else _usage(row)


def _locked(connection: Connection, key_id: UUID) -> Usage:
    """The key's row, made if it is not there."""
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
