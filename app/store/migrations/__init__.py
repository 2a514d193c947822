"""Migration of a database to the schema of this build: forward only, one process at a time, in one transaction."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import DBAPIError

from app.store.db.engine import create_file, database_file, write_engine
from app.store.errors import SchemaTooNewError, StoreUnavailableError, StoreUnreachableError
from app.store.schema import allowances, metadata

# By the names of the files: the import of Alembic takes as long as the rest of the store, and few starts migrate.
REVISIONS = sorted(file.name.partition("_")[0] for file in Path(__file__).parent.glob("versions/[0-9]*.py"))
NEWEST = REVISIONS[-1]

_LOCK = 0x706F7374  # PostgreSQL's advisory locks are numbers; this one is unique in Postern


def migrate(url: str) -> str:
    """Create the database if necessary, and migrate it to the newest revision, which is returned.

    Raises SchemaTooNewError, StoreUnreachableError.
    """
    file = database_file(url)
    if file is not None:
        create_file(file)
    with _alone(file) if file else nullcontext(), _transaction(url, file) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # a migration by another process may take long
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = _revision(connection)
        _refuse_unknown(current)
        if current is None and file is not None:
            _create(connection)
        elif current != NEWEST:
            from app.store.migrations.upgrade import upgrade  # noqa: PLC0415 - it imports Alembic

            upgrade(connection)
        return NEWEST


def revision(url: str) -> str | None:
    """Return the revision of the database; None: it has no schema yet. Raises StoreUnreachableError."""
    file = database_file(url)
    if file is not None and not file.exists():
        return None
    with _transaction(url) as connection:
        return _revision(connection)


def revisions(url: str) -> tuple[str | None, str]:
    """Return the revisions of database (None: no schema) and build. Raises SchemaTooNewError, StoreUnreachableError."""
    current = revision(url)
    _refuse_unknown(current)
    return current, NEWEST


def is_current(connection: Connection) -> bool:
    """Return whether the database has the schema of this build; another version may have migrated it since."""
    return _revision(connection) == NEWEST


def _create(connection: Connection) -> None:
    """Create all tables at the newest revision: the migrations would lead to the same, and take as long as the rest of
    the start. Only of an embedded database: PostgreSQL's tables have options that are not part of the metadata."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(allowances), {"id": UUID(int=0), "recipients": 0, "until": 1e18})  # as revision 0005
    key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:newest)"), {"newest": NEWEST})


@contextmanager
def _transaction(url: str, file: Path | None = None) -> Iterator[Connection]:
    engine = write_engine(url, new=file is not None and file.stat().st_size == 0)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise StoreUnreachableError(str(StoreUnavailableError.from_database(error))) from None
    finally:
        engine.dispose()


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the lock of the folder, in which one process at a time opens a database.

    SQLite's own lock does not cover the change to its write-ahead log; a lock on the folder leaves no file behind.
    """
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _revision(connection: Connection) -> str | None:
    """Return the revision in the table of Alembic, which has one row; None without the table."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_unknown(current: str | None) -> None:
    if current is not None and current not in REVISIONS:
        raise SchemaTooNewError(
            f"The database has schema {current}; this Postern knows up to {NEWEST}. "
            "Start the version that wrote it or a newer one."
        )
