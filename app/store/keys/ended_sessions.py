"""Sessions of the console that were logged out: known to every replica, until their cookies would have ended anyway."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from app.store.db.dialect import upsert
from app.store.schema import ended_sessions

_OVER = delete(ended_sessions).where(ended_sessions.c.until <= bindparam("now"))
_ONE = select(ended_sessions.c.id).where(ended_sessions.c.id == bindparam("of"))


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that ends at `now` instead of at `until` (epoch seconds)."""

    id: str
    until: float
    now: float


def end(connection: Connection, batch: Sequence[EndedSession]) -> list[None]:
    """Store them; those whose time is over are removed."""
    connection.execute(_OVER, {"now": max(one.now for one in batch)})
    statement = upsert(connection.dialect.name, ended_sessions).on_conflict_do_nothing()
    connection.execute(statement, [{"id": one.id, "until": one.until} for one in sorted(batch, key=lambda one: one.id)])
    return [None] * len(batch)


def has_ended(connection: Connection, id: str) -> bool:
    """Whether the session of this id was logged out."""
    return connection.execute(_ONE, {"of": id}).first() is not None
