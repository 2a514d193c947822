"""Return of unused pages to the file system, and removal of remains of deleted rows from the files.

SQLite only: a PostgreSQL server vacuums by itself.

SQLite reuses the pages of deleted rows, which costs less than new pages. So they are returned only if there are many:
the file stays below 4/3 of its content plus MIN_FREE_PAGES.
"""

from contextlib import closing, suppress

from sqlalchemy import Connection, Engine

from app.store.db.engine import write_engine
from app.store.db.writer import per_argument

BATCH_PAGES = 256  # pages of 4 KiB in one step: accepts wait for it
MIN_FREE_PAGES = 4096  # free pages that are never returned
MAX_FULL_VACUUM = 128 * 1024 * 1024  # bytes; a database of this size is rewritten in about a second


@per_argument
def shrink(connection: Connection, min_free_pages: int) -> int:
    """Return up to BATCH_PAGES pages; their number. 0: at most `min_free_pages`, or few, are free."""
    if connection.dialect.name != "sqlite":
        return 0
    free, pages = _number(connection, "freelist_count"), _number(connection, "page_count")
    if free <= max(min_free_pages, pages // 4):
        return 0
    cursor = connection.connection.cursor()
    for _step in range(BATCH_PAGES):  # Python's driver executes one step of this pragma, which is one page
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
