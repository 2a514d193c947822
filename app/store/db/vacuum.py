"""Gives the room that nothing uses any more back to the file system. SQLite only: PostgreSQL's server does it itself.

SQLite keeps the pages of what was removed for what comes next. They are given back only when they are many, because
to use them again costs less than to fetch new ones: the file stays below 4/3 of its content plus MIN_FREE_PAGES.
"""

from collections.abc import Sequence
from contextlib import closing, suppress

from sqlalchemy import Connection, Engine

from app.store.db.engine import write_engine

BATCH_PAGES = 256  # pages, of 4 KiB, in one step: accepts wait for it
MIN_FREE_PAGES = 4096  # free pages that are never given back
MAX_FULL_VACUUM = 128 * 1024 * 1024  # bytes of a database that are rewritten in about a second


def shrink(connection: Connection, batch: Sequence[None]) -> list[int]:
    """One step for each: how many pages it has given back. 0: few enough are free."""
    return [_shrink(connection) for _ in batch]


def _shrink(connection: Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0
    free, pages = _number(connection, "freelist_count"), _number(connection, "page_count")
    if free <= max(MIN_FREE_PAGES, pages // 4):
        return 0
    cursor = connection.connection.cursor()
    for _ in range(BATCH_PAGES):  # Python's driver takes one step of this pragma and no more, and one step is one page
        cursor.execute("PRAGMA incremental_vacuum(1)")
    cursor.close()
    return free - _number(connection, "freelist_count")


def scrub(engine: Engine, *, whole: bool) -> bool:
    """Remove remains of deleted rows from the files of SQLite; False: some may be left, the file being too large.

    `secure_delete` overwrites a deleted row, but not the copies that a split or a merge of pages leaves in their unused
    parts. Only VACUUM does, which rewrites the file and keeps writers waiting: up to MAX_FULL_VACUUM bytes, or if
    `whole`. Then the write-ahead log is emptied. PostgreSQL's server vacuums by itself.
    """
    if engine.dialect.name != "sqlite":
        return True
    own = write_engine(engine.url.render_as_string(hide_password=False))
    with suppress(own.dialect.loaded_dbapi.OperationalError), closing(own.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA temp_store=FILE")
        pages, size = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        whole = whole or pages * size <= MAX_FULL_VACUUM
        if whole:
            cursor.execute("VACUUM")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return bool(whole and not busy)
    return False  # the disk is full, or another process kept writing


def _number(connection: Connection, pragma: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())
