"""The one statement that SQLAlchemy spells per database: INSERT ... ON CONFLICT."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that has `on_conflict_do_update`, in the dialect of this name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
