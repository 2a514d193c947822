"""SQLAlchemy Core statements that are compiled once and run on the driver's cursor, and lists of ids for IN (...).

Core's work around each execution costs more than SQLite needs for the statement. So the statements on the path of every
message are compiled once per dialect, with Core's processing of values and Core's errors. Contains no table.
"""

import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Delete, Insert, Select, String, Update, Uuid, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

IN_WIDTH = 32  # parameters of one IN (...): one length, so that the statement is one
_ID_NAMES = tuple(f"id{place}" for place in range(IN_WIDTH))

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete
Values = Mapping[str, Any]
_Process = Callable[[Any], Any] | None
_JSON = json.JSONEncoder(separators=(",", ":"))
# JSONEncoder makes one of these for each value, which costs more than a small value itself.
_encoder: Any = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None,
    _JSON.default,
    json.encoder.encode_basestring_ascii,
    None,
    _JSON.key_separator,
    _JSON.item_separator,
    _JSON.sort_keys,
    _JSON.skipkeys,
    _JSON.allow_nan,
)
_NO_NAME = ""  # of a value of the statement's own: no row has it


def as_json(value: Any) -> str:
    """Return the text of a JSON column: compact, in ASCII, as `json.dumps` gives it with these separators."""
    return "".join(_encoder(value, 0))


@dataclass(slots=True)
class _Form:
    """Statement in one dialect."""

    sql: str
    names: tuple[str, ...]  # of the driver's parameters
    given: tuple[str, ...]  # their names in a row, or _NO_NAME
    fixed: tuple[Any, ...]  # the statement's own values; None for a row's
    to_driver: tuple[tuple[int, Callable[[Any], Any]], ...]  # bind processors by position
    texts: tuple[int, ...]  # positions of texts, which may be members of an enumeration
    ids: tuple[int, ...]  # positions of UUIDs that are stored as text
    positional: bool
    columns: tuple[Any, ...]  # their types
    row: Any  # a namedtuple
    processes: tuple[tuple[int, Any], ...] | None = None  # result processors by position, known after the first result

    def bound(self, values: Values) -> Any:
        """Return the driver's parameters for these values."""
        made = list(map(values.get, self.given, self.fixed))
        for place, process in self.to_driver:
            made[place] = process(made[place])
        for place in self.texts:
            if (text := made[place]) is not None and text.__class__ is not str:
                made[place] = str.__str__(text)  # sqlite3 searches an adapter for every other class
        for place in self.ids:
            if (id := made[place]) is not None:
                made[place] = f"{id.int:032x}"
        return made if self.positional else dict(zip(self.names, made, strict=True))

    def read(self, cursor: Any, dialect: Dialect) -> list[Any]:
        """Return the rows as named tuples."""
        if self.processes is None:  # they depend on the type codes of the driver
            codes = (described[1] for described in cursor.description)
            kinds = zip(self.columns, codes, strict=True)
            made = enumerate(kind.result_processor(dialect, code) for kind, code in kinds)
            self.processes = tuple((place, process) for place, process in made if process)
        return [self.row._make(self._made(found)) for found in cursor.fetchall()]

    def _made(self, found: Iterable[Any]) -> list[Any]:
        values = list(found)
        for place, process in self.processes or ():
            values[place] = process(values[place])
        return values


def in_ids(column: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition that the column is one of IN_WIDTH parameters, whose values `in_lists` yields."""
    return column.in_([bindparam(name, type_=column.type) for name in _ID_NAMES])


def in_lists(ids: Sequence[UUID]) -> Iterator[dict[str, UUID]]:
    """Yield the values of conditions of `in_ids`; parameters without a value are NULL."""
    for start in range(0, len(ids), IN_WIDTH):
        yield dict(zip(_ID_NAMES, ids[start : start + IN_WIDTH], strict=False))


class PreparedStatement:
    """Statement without expanding parameters. Raises DBAPIError and its subclasses, as Core does."""

    def __init__(self, statement: Statement | Callable[[str], Statement], *, sets: Sequence[str] = ()) -> None:
        """`sets`: columns that an update sets from the rows. `statement` may be a function of the dialect's name."""
        self._statement = statement
        self._sets = list(sets) or None
        self._forms: dict[str, _Form] = {}

    def run(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Run once for each row; return the total number of changed rows."""
        form = self._form(connection.dialect)
        with _Cursor(connection, form) as cursor:
            cursor.executemany(form.sql, [form.bound(row) for row in rows])
            changed: int = cursor.rowcount
            return changed

    def run_each(self, connection: Connection, rows: Sequence[Values]) -> list[bool]:
        """Run once for each row; return for each whether it changed a row."""
        form = self._form(connection.dialect)
        with _Cursor(connection, form) as cursor:
            if form.positional or len(rows) < 2:
                return [cursor.execute(form.sql, form.bound(row)).rowcount > 0 for row in rows]
            # psycopg: one batch, then one result after the other.
            cursor.executemany(form.sql, [form.bound(row) for row in rows], returning=True)
            changed = [cursor.rowcount > 0]
            while cursor.nextset():
                changed.append(cursor.rowcount > 0)
            return changed

    def all(self, connection: Connection, values: Values) -> list[Any]:
        """Return all rows."""
        form = self._form(connection.dialect)
        with _Cursor(connection, form) as cursor:
            return form.read(cursor.execute(form.sql, form.bound(values)), connection.dialect)

    def first(self, connection: Connection, values: Values) -> Any:
        """Return the first row, or None."""
        return next(iter(self.all(connection, values)), None)

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            statement = self._statement(dialect.name) if callable(self._statement) else self._statement
            form = self._forms[dialect.name] = _compile(statement, dialect, self._sets)
        return form


def _compile(statement: Statement, dialect: Dialect, sets: list[str] | None) -> _Form:
    compiled: Any = statement.compile(dialect=dialect, column_keys=sets)
    names = compiled.positiontup if compiled.positional else compiled.params
    binds = {name: compiled.binds[name] for name in names}
    processes = {name: _to_driver(bind.type, dialect) for name, bind in binds.items()}
    fixed = {name: _fixed(bind, processes[name]) for name, bind in binds.items() if not bind.required}
    given = [(place, binds[name].type, processes[name]) for place, name in enumerate(names) if name not in fixed]
    columns = list(statement.selected_columns) if isinstance(statement, Select) else []
    return _Form(
        sql=str(compiled),
        names=tuple(names),
        given=tuple(_NO_NAME if name in fixed else name for name in names),
        fixed=tuple(fixed.get(name) for name in names),
        to_driver=tuple((place, process) for place, kind, process in given if process and not isinstance(kind, Uuid)),
        texts=tuple(place for place, kind, process in given if isinstance(kind, String) and not process),
        ids=tuple(place for place, kind, process in given if isinstance(kind, Uuid) and process),
        positional=compiled.positional,
        columns=tuple(column.type.dialect_impl(dialect) for column in columns),
        row=namedtuple("Row", [str(column.key) for column in columns]),
    )


def _fixed(bind: Any, process: _Process) -> Any:
    if process:
        return process(bind.value)
    return str.__str__(bind.value) if isinstance(bind.value, str) else bind.value


def _to_driver(kind: Any, dialect: Dialect) -> _Process:
    process: _Process = kind.dialect_impl(dialect).bind_processor(dialect)
    return process


class _Cursor:
    """Cursor of the driver. Its errors become SQLAlchemy's, without the values, which are mail."""

    __slots__ = ("_connection", "_cursor", "_form")

    def __init__(self, connection: Connection, form: _Form) -> None:
        self._connection = connection
        self._form = form

    def __enter__(self) -> Any:
        self._cursor = self._connection.connection.cursor()
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._cursor.close()
        base = self._connection.dialect.loaded_dbapi.Error
        if isinstance(error, base):
            raise DBAPIError.instance(self._form.sql, None, error, base, hide_parameters=True) from error
