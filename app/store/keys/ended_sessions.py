"""Logged-out sessions of the console, visible to all replicas until their cookies expire."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from app.store.db.dialect import upsert
from app.store.schema import ended_sessions

_REMOVE_EXPIRED = delete(ended_sessions).where(ended_sessions.c.until <= bindparam("now"))
_ONE = select(ended_sessions.c.id).where(ended_sessions.c.id == bindparam("session"))


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session that was logged out at `now`; its cookie expires at `until` (epoch seconds)."""

    id: str
    until: float
    now: float


def end(connection: Connection, batch: Sequence[EndedSession]) -> list[None]:
    """Store ended sessions, and remove those whose cookie has expired."""
    connection.execute(_REMOVE_EXPIRED, {"now": max(one.now for one in batch)})
    statement = upsert(connection.dialect.name, ended_sessions).on_conflict_do_nothing()
    connection.execute(statement, [{"id": one.id, "until": one.until} for one in sorted(batch, key=lambda one: one.id)])
    return [None] * len(batch)


def has_ended(connection: Connection, id: str) -> bool:
    """Return whether the session of this id was logged out."""
    return connection.execute(_ONE, {"session": id}).first() is not None
