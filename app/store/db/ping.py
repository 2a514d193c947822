"""Write probe: increments one row to prove that a commit can be made."""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.store.db.dialect import upsert
from app.store.schema import heartbeat

_ROW = 1


def write_probe(connection: Connection, batch: Sequence[None]) -> list[None]:
    """Increment the probe row, once for the whole batch."""
    statement = upsert(connection.dialect.name, heartbeat).values(id=_ROW, beats=1)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[heartbeat.c.id], set_={"beats": heartbeat.c.beats + 1})
    )
    return [None] * len(batch)
