"""Engines of SQLite and PostgreSQL: database URL, driver, file, and settings of every connection. Contains no table.

SQLite: the write-ahead log with `synchronous=FULL`, so a commit is on disk when it returns. Postern begins the
transactions, not the driver: a writer takes the write lock at once (BEGIN IMMEDIATE), because a transaction that reads
first and then finds the lock taken must be rolled back. A reader never waits for the writer.

PostgreSQL: a commit is on the server's disk when it returns, whatever the server's default is. Writers wait for rows,
not for each other; a client that is lost, or idle in a transaction, loses its locks within seconds (see also
app/store/mailboxes/ownership.py).
"""

import os
from collections.abc import Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from app.store.db.prepared import as_json
from app.store.errors import StoreUnreachableError

READ_CONNECTIONS = 4  # connections that read at the same time
CLIENT_TIMEOUT = 10  # seconds that a transaction of PostgreSQL waits for its client
_BUSY = 5.0  # seconds to wait for another process's lock

_ALWAYS = {
    "foreign_keys": "ON",
    "temp_store": "MEMORY",
}
_WRITER = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "fullfsync": "ON",  # macOS: fsync alone does not reach the disk there
    "wal_autocheckpoint": "8192",  # pages: some 32 MiB, so that few commits have to copy the log back
    "journal_size_limit": str(64 * 1024 * 1024),
    "cache_size": "-16384",  # KiB
    "secure_delete": "ON",  # what is deleted is overwritten with zeros, so that an erasure leaves nothing in the file
}
_READER = {"query_only": "ON"}
_NEW = {"auto_vacuum": "INCREMENTAL"}  # before anything is in it: see vacuum.py

SERVER: dict[str, Any] = {
    "fallback_application_name": "postern",  # unless the URL has another
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 10,  # seconds
    "tcp_user_timeout": 10_000,  # milliseconds: a link that went silent is noticed, not waited for
}
_SESSION = {  # the same as seen from the server
    "tcp_keepalives_idle": "10",  # seconds
    "tcp_keepalives_interval": "5",  # seconds
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": f"{CLIENT_TIMEOUT * 1000}",  # milliseconds
    # Every statement goes by an index, in its order. The planner would choose by what the tables held when they were
    # last looked at, and a prepared statement keeps a plan that was right while they were empty.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_SESSION_WRITER = {
    "synchronous_commit": "on",
    "lock_timeout": "5000",  # milliseconds to wait for another process's rows
}


def parse(url: str) -> URL:
    """Return the database URL with its driver. Raises StoreUnreachableError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnreachableError(
            "POSTERN_DATABASE_URL is not a database URL; right are sqlite:///path and postgresql://user@host/name."
        ) from None
    match parsed.get_backend_name():
        case "sqlite" if parsed.database in (None, "", ":memory:"):
            raise StoreUnreachableError(
                "POSTERN_DATABASE_URL names no file, and mail is not kept in memory: sqlite:///path."
            )
        case "sqlite":
            return parsed.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise StoreUnreachableError(
                f"POSTERN_DATABASE_URL names {other}; right are sqlite:///path and postgresql://user@host/name."
            )


def database_file(url: str) -> Path | None:
    """Return the file of an embedded database; None for a server."""
    parsed = parse(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def display_name(url: str) -> str:
    """Return the absolute path of an embedded database, or the URL of a server without its password."""
    file = database_file(url)
    return str(file.absolute()) if file else parse(url).set(drivername="postgresql").render_as_string()


def server_dsn(url: str) -> str | None:
    """Return the connection string of a PostgreSQL server for its driver; None for an embedded database."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return None
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


def create_file(path: Path) -> None:
    """Create an empty file for this user alone, and its folder, if missing. Raises StoreUnreachableError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never open a file that is there: to close it would drop the locks this process holds on it (fcntl(2)).
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnreachableError(
            f"The database file {path} cannot be made: {error.strerror}. "
            "Let POSTERN_DATA_DIR name a folder this user may write to."
        ) from None


def write_engine(url: str, *, new: bool = False) -> Engine:
    """Return an engine with one connection, whose transactions take the write lock. `new`: the file is empty."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, {**(_NEW if new else {}), **_WRITER, **_ALWAYS}, "BEGIN IMMEDIATE", poolclass=NullPool)
    return _postgresql(parsed, {**_SESSION, **_SESSION_WRITER}, poolclass=NullPool)


def read_engine(url: str) -> Engine:
    """Return an engine with READ_CONNECTIONS read-only connections; a transaction sees one state of the database."""
    parsed = parse(url)
    pool = {"pool_size": READ_CONNECTIONS, "max_overflow": 0}
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, {**_ALWAYS, **_READER}, "BEGIN", **pool)
    one_state = {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
    # Test a connection before it is used: the server may have restarted.
    return _postgresql(parsed, _SESSION, pool_pre_ping=True, **one_state, **pool)


def _sqlite(url: URL, pragmas: dict[str, str], begin: str, **options: Any) -> Engine:
    engine = _engine(url, {"timeout": _BUSY, "isolation_level": None}, options)
    _configure(engine, [f"PRAGMA {name}={value}" for name, value in pragmas.items()])
    # The event "begin" would cost more than the statement itself.
    setattr(engine.dialect, "do_begin", methodcaller("execute", begin))  # noqa: B010
    return engine


def _postgresql(url: URL, session: dict[str, str], **options: Any) -> Engine:
    engine = _engine(url, SERVER, options)
    _configure(engine, [";".join(f"SET {name}={value}" for name, value in session.items())])
    return engine


def _engine(url: URL, arguments: dict[str, Any], options: dict[str, Any]) -> Engine:
    # hide_parameters: the values are mail and must not appear in an error's text.
    return create_engine(url, json_serializer=as_json, hide_parameters=True, connect_args=arguments, **options)


def _configure(engine: Engine, statements: Sequence[str]) -> None:
    def configure(connection: Any, _: object) -> None:
        for statement in statements:
            connection.execute(statement)
        connection.commit()

    event.listen(engine, "connect", configure)
