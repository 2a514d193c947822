"""What the API keys have used of their budgets. Charged in the transaction that keeps the messages.

A key's row is locked from the look at it to the end of the transaction, so that a budget is exact however many
processes accept by it. Without a budget nothing is read or written here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update

from app.mail.budget import UNUSED, Budget, Usage
from app.store.prepared import Prepared
from app.store.schema import budgets
from app.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class Charge:
    """So many messages that a key hands in at `now` (epoch seconds)."""

    key_id: UUID
    budget: Budget
    count: int
    now: float


_b = budgets.c
_OF_KEY = select(_b.minute, _b.minute_used, _b.day, _b.day_used).where(_b.key_id == bindparam("key_id"))

_FIND = Prepared(_OF_KEY)
_LOCK = Prepared(_OF_KEY.with_for_update())
_BEGIN = Prepared(lambda dialect: upsert(dialect, budgets).on_conflict_do_nothing())
_KEEP = Prepared(update(budgets).where(_b.key_id == bindparam("of")), sets=("minute", "minute_used", "day", "day_used"))


def charge(connection: Connection, charges: Mapping[int, Charge]) -> dict[int, tuple[bool, Usage]]:
    """Of each: whether it was charged, and what is used then. In their order, as far as a key's budget goes."""
    outcomes: dict[int, tuple[bool, Usage]] = {}
    for key_id in sorted({one.key_id for one in charges.values()}):  # in one order everywhere: no deadlock
        before = usage = _locked(connection, key_id)
        for place, one in charges.items():
            if one.key_id == key_id:
                usage = usage.at(one.now)
                if taken := one.budget.takes(usage, one.count):
                    usage = usage.plus(one.count)
                outcomes[place] = taken, usage
        if usage != before:
            _KEEP.run(connection, [{"of": key_id, **asdict(usage)}])
    return outcomes


def find(connection: Connection, key_id: UUID) -> Usage:
    """What it has used."""
    row = _FIND.first(connection, {"key_id": key_id})
    return UNUSED if row is None else Usage(*row)


def _locked(connection: Connection, key_id: UUID) -> Usage:
    """The key's row, made if it is not there."""
    row = _LOCK.first(connection, {"key_id": key_id})
    if row is None:
        _BEGIN.run(connection, [{"key_id": key_id, **asdict(UNUSED)}])
        row = _LOCK.first(connection, {"key_id": key_id})
    return Usage(*row)
