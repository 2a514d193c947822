"""Gives the room that nothing uses any more back to the file system. SQLite only: PostgreSQL's server does it itself.

SQLite keeps the pages of what was removed for what comes next. They are given back only when they are many, because
to use them again costs less than to fetch new ones: the file stays below four thirds of what is in it, and SLACK.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

AT_ONCE = 256  # pages, of 4 KiB, in one step: accepts wait for it
SLACK = 4096  # free pages that are never given back


def shrink(connection: Connection, batch: Sequence[None]) -> list[int]:
    """One step for each: how many pages it has given back. 0: few enough are free."""
    return [_shrink(connection) for _ in batch]


def _shrink(connection: Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0
    free, pages = _number(connection, "freelist_count"), _number(connection, "page_count")
    if free <= max(SLACK, pages // 4):
        return 0
    cursor = connection.connection.cursor()
    for _ in range(AT_ONCE):  # Python's driver takes one step of this pragma and no more, and one step is one page
        cursor.execute("PRAGMA incremental_vacuum(1)")
    cursor.close()
    return free - _number(connection, "freelist_count")


def _number(connection: Connection, pragma: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())
