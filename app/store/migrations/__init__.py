"""Brings a database to this build's schema: forward only, one process at a time, all or nothing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.store.db.engine import create_file, database_file, write_engine
from app.store.errors import SchemaTooNewError, StoreUnavailableError, StoreUnreachableError

_LOCK = 0x706F7374  # any number that only Postern uses: PostgreSQL's advisory locks are named by numbers


def migrate(url: str) -> str:
    """Make the database if need be, and bring it to the newest revision, which is returned.

    Raises SchemaTooNewError, StoreUnreachableError.
    """
    file = database_file(url)
    if file is not None:
        create_file(file)
    with _alone(file) if file else nullcontext(), _transaction(url, file) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's migration may take its time
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _refuse_unknown(_revision(connection))
        command.upgrade(_config(connection), "head")
        return _revision(connection) or ""


def revision(url: str) -> str | None:
    """The database's revision; None when it has no schema yet. Raises StoreUnreachableError."""
    file = database_file(url)
    if file is not None and not file.exists():
        return None
    with _transaction(url) as connection:
        return _revision(connection)


def revisions(url: str) -> tuple[str | None, str]:
    """Return the revisions of database (None: no schema) and build. Raises SchemaTooNewError, StoreUnreachableError."""
    current = revision(url)
    _refuse_unknown(current)
    return current, _head() or ""


def is_current(connection: Connection) -> bool:
    """Whether the database has this build's schema: another version may have migrated it since it was opened."""
    return _revision(connection) == _head()


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


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
    """Wait for whoever opens a database in this folder.

    SQLite's own lock does not cover the change to its write-ahead log; a lock on the folder leaves no file behind.
    """
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_unknown(current: str | None) -> None:
    scripts = ScriptDirectory.from_config(_config())
    known = [script.revision for script in scripts.walk_revisions()]
    if current is not None and current not in known:
        raise SchemaTooNewError(
            f"The database has schema {current}; this Postern knows up to {known[0]}. "
            "Start the version that wrote it or a newer one."
        )
