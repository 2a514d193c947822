"""A whole copy of an embedded database while it is worked, and its way back. Knows no table.

A copy is complete, checked and on the disk, or it is not there. A database that is replaced is set aside, not removed.
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

_BESIDE = ("-wal", "-shm")  # SQLite's own files beside a database
_BUSY = 30.0  # seconds to wait for who writes


def save(url: str, target: Path) -> None:
    """Write the database as it stands now to `target`. Raises BackupError."""
    file = embedded_file(url)
    if not file.exists():
        raise BackupError(f"There is no database {file} yet. Check POSTERN_DATA_DIR and POSTERN_DATABASE_URL.")
    if target.exists():
        raise BackupError(f"{target} is there already. Give the backup a name of its own.")
    with _made(target) as part:
        _run(file, "VACUUM INTO ?", str(part))
        _check(part)


@contextmanager
def restoring(url: str, source: Path, aside: str) -> Iterator[str]:
    """Put `source` in the database's place once the block has ended well; the block gets its URL, to change it before.

    What stood there gets `aside` after its name. The caller holds the DatabaseFileLock. Raises BackupError.
    """
    file = embedded_file(url)
    if not source.is_file():
        raise BackupError(f"There is no file {source}. Give one that `postern backup` has made.")
    with _made(file, aside) as part:
        shutil.copyfile(source, part)
        _check(part)
        yield f"sqlite:///{part}"
        _run(part, "PRAGMA wal_checkpoint(TRUNCATE)")


def embedded_file(url: str) -> Path:
    """The database's file. Raises BackupError when it is a server's."""
    file = database_file(url)
    if file is None:
        raise BackupError(
            "POSTERN_DATABASE_URL names a PostgreSQL server: pg_dump and pg_restore do it (deploy/RUNBOOK.md)."
        )
    return file


@contextmanager
def _made(target: Path, aside: str = "") -> Iterator[Path]:
    """A file beside `target` that only this user can read, and that gets its name when the block has ended well."""
    part = Path(f"{target}.part")
    try:
        _remove(part)
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield part
        _sync(part)
        if target.exists():
            _set_aside(target, Path(f"{target}{aside}"))
        os.replace(part, target)
        _sync(target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}.") from None
    finally:
        _remove(part)


def _set_aside(file: Path, aside: Path) -> None:
    os.link(file, aside)
    for end in _BESIDE:  # no other file must ever be opened with this one's log
        if (log := Path(f"{file}{end}")).exists():
            os.replace(log, f"{aside}{end}")


def _remove(part: Path) -> None:
    for end in ("", *_BESIDE):
        Path(f"{part}{end}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _check(part: Path) -> None:
    found = _run(part, "PRAGMA integrity_check(1)")
    if found != [("ok",)]:
        raise BackupError(f"The copy is damaged: {found[0][0]}. Take an older one.")


def _run(file: Path, statement: str, *values: str) -> list[tuple[object, ...]]:
    """Outside of a transaction. Raises BackupError."""
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY, isolation_level=None)) as connection:
            if connection.execute("PRAGMA auto_vacuum").fetchone() == (0,):  # a file of before: its copy shall have it
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            return connection.execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise BackupError(str(StoreUnavailableError.from_database(DBAPIError(statement, None, error)))) from None
