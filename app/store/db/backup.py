"""Backup of an embedded database in use, and restore. Independent of the tables.

A backup is complete, checked and on the disk, or it does not exist. A restore renames the former database.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from app.store.db.engine import database_file
from app.store.errors import BackupError, StoreUnavailableError

_COMPANIONS = ("-wal", "-shm")  # SQLite's files beside a database
_BUSY_TIMEOUT = 30.0  # seconds to wait for a writer


def save(url: str, target: Path) -> None:
    """Write the current database to `target`. Raises BackupError."""
    file = embedded_file(url)
    if not file.exists():
        raise BackupError(f"There is no database {file} yet. Check POSTERN_DATA_DIR and POSTERN_DATABASE_URL.")
    if target.exists():
        raise BackupError(f"{target} is there already. Give the backup a name of its own.")
    with _new_file(target) as part:
        _run(file, "VACUUM INTO ?", str(part))
        _check(part)


@contextmanager
def restoring(url: str, source: Path, aside: str) -> Iterator[str]:
    """Replace the database by `source` when the block ends without an error. The block gets the URL of the copy.

    The former database gets the suffix `aside`. The caller holds the DatabaseFileLock. Raises BackupError.
    """
    file = embedded_file(url)
    if not source.is_file():
        raise BackupError(f"There is no file {source}. Give one that `postern backup` has made.")
    with _new_file(file, aside) as part:
        shutil.copyfile(source, part)
        _check(part)
        yield f"sqlite:///{part}"
        _run(part, "PRAGMA wal_checkpoint(TRUNCATE)")


def embedded_file(url: str) -> Path:
    """Return the file of the database. Raises BackupError for a database server."""
    file = database_file(url)
    if file is None:
        raise BackupError(
            "POSTERN_DATABASE_URL names a PostgreSQL server: pg_dump and pg_restore do it (deploy/RUNBOOK.md)."
        )
    return file


@contextmanager
def _new_file(target: Path, aside: str = "") -> Iterator[Path]:
    """Yield a file that only this user can read; it becomes `target` when the block ends without an error."""
    part = Path(f"{target}.part")
    try:
        _remove(part)
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield part
        _sync(part)
        if target.exists():
            _rename_database(target, Path(f"{target}{aside}"))
        os.replace(part, target)
        _sync(target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}.") from None
    finally:
        _remove(part)


def _rename_database(file: Path, aside: Path) -> None:
    os.link(file, aside)
    for end in _COMPANIONS:  # the log belongs to this file only
        if (log := Path(f"{file}{end}")).exists():
            os.replace(log, f"{aside}{end}")


def _remove(part: Path) -> None:
    for end in ("", *_COMPANIONS):
        Path(f"{part}{end}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(part: Path) -> None:
    found = _run(part, "PRAGMA integrity_check(1)")
    if found != [("ok",)]:
        raise BackupError(f"The copy is damaged: {found[0][0]}. Take an older one.")


def _run(file: Path, statement: str, *values: str) -> list[tuple[object, ...]]:
    """Run a statement outside of a transaction. Raises BackupError."""
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY_TIMEOUT, isolation_level=None)) as connection:
            if connection.execute("PRAGMA auto_vacuum").fetchone() == (
                0,
            ):  # a file of an older version: set it for the copy
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            return connection.execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise BackupError(str(StoreUnavailableError.from_database(DBAPIError(statement, None, error)))) from None
