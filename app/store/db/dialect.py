"""SQL in which SQLite, PostgreSQL and SQLAlchemy differ: clock, conditions, ON CONFLICT, texts, and statements for many
rows.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Boolean, Connection, Delete, Double, Insert, Table, Update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_LAST_CODE_POINT = 0x10FFFF  # sorts after every other character


class DatabaseNow(FunctionElement[float]):
    """The current time (epoch seconds); in PostgreSQL that of the transaction's start, so that no lease gets longer."""

    type = Double()
    inherit_cache = True
    name = "moment"


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "extract(epoch FROM now())::double precision"


class _Condition(FunctionElement[bool]):
    """Condition whose SQL is in parentheses."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:  # else SQLite gets `= 1`, and uses no index
        """Return itself."""
        return self


class CallersMessageId(_Condition):
    """True for a message whose caller chose the Message-ID: Postern's own begins with the id of the message."""

    inherit_cache = True
    name = "callers_message_id"


@compiles(CallersMessageId, "sqlite")
def _sqlite_callers_message_id(*_: Any, **__: Any) -> str:
    return "(replace(substr(message_id, 1, 36), '-', '') <> id)"  # SQLite has a UUID as 32 digits


@compiles(CallersMessageId, "postgresql")
def _postgresql_callers_message_id(*_: Any, **__: Any) -> str:
    return "(substr(message_id, 1, 36) <> id::text)"


class BeginsWith(_Condition):
    """True if a text (first argument) begins with a prefix: a range, which the index `recipients_to` covers."""

    inherit_cache = True
    name = "begins_with"


@compiles(BeginsWith, "sqlite")
def _sqlite_begins_with(element: BeginsWith, compiler: Any, **options: Any) -> str:
    return _range(element, compiler, options, ">=", "<", f"char({_LAST_CODE_POINT})")


@compiles(BeginsWith, "postgresql")
def _postgresql_begins_with(element: BeginsWith, compiler: Any, **options: Any) -> str:
    return _range(element, compiler, options, "~>=~", "~<~", f"chr({_LAST_CODE_POINT})")  # text_pattern_ops


class JsonMayContain(_Condition):
    """False if a JSON text (first argument) does not match a LIKE pattern, in any case (second; `/` escapes).

    SQLite's LIKE costs half of reading a member of the JSON. PostgreSQL's ILIKE costs more, so there it is always true.
    """

    inherit_cache = True
    name = "json_may_contain"


@compiles(JsonMayContain, "sqlite")
def _sqlite_json_may_contain(element: JsonMayContain, compiler: Any, **options: Any) -> str:
    text, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} LIKE {pattern} ESCAPE '/')"


@compiles(JsonMayContain, "postgresql")
def _postgresql_json_may_contain(*_: Any, **__: Any) -> str:
    return "(true)"


def _range(element: BeginsWith, compiler: Any, options: Mapping[str, Any], at_least: str, below: str, last: str) -> str:
    text, prefix = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({text} {at_least} {prefix} AND {text} {below} ({prefix} || {last}))"


def upsert(dialect: str, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an insert with `on_conflict_do_update` in the dialect of this name."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - SQLite does without it

    return postgresql.insert(table)


def storable(text: str) -> str:
    """Return a server's text without what a database refuses: lone surrogates, NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def execute_many(
    connection: Connection, statement: Insert | Update | Delete, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Execute the statement for each row. Without rows SQLAlchemy itself would execute it once."""
    if rows:
        connection.execute(statement, rows)
