"""SQL that differs between SQLite and PostgreSQL: the database's clock, and INSERT ... ON CONFLICT."""

from typing import Any

from sqlalchemy import Double, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class DatabaseNow(FunctionElement[float]):
    """Now; in PostgreSQL when the transaction began, so that a lease never ends later than it should."""

    type = Double()
    inherit_cache = True
    name = "moment"


@compiles(DatabaseNow, "sqlite")
def _of_this_machine(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _of_the_server(*_: Any, **__: Any) -> str:
    return "extract(epoch FROM now())::double precision"


def upsert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that has `on_conflict_do_update`, in the dialect of this name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
