"""Load of the database server by its own statistics: statements, rows, write-ahead log; and its CPU time."""

import os
from collections import Counter
from pathlib import Path
from typing import Self

import psycopg

OPTIONS = {
    "fsync": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "2000",
}
"""How the server differs from that of the other tests: durable, and it counts its statements."""

OWNERSHIP, LOOKS, LEASES, WORK, CONTROL = "ownership", "looks", "leases", "work", "control"

# By the beginning of a statement, or a part of it; the first that fits counts.
_KINDS = (
    (OWNERSHIP, ("INSERT INTO replicas", "SELECT replicas.", "SELECT owners.", "UPDATE owners", "INSERT INTO owners")),
    (LOOKS, ("SELECT messages.due_at", "mailboxes.wish_at")),
    (LEASES, ("UPDATE messages SET lease_until", "SELECT messages.id, messages.lease", "messages.expires_at <=")),
    (CONTROL, ("BEGIN", "COMMIT", "ROLLBACK")),
    (WORK, ("messages", "recipients", "attempts", "contents", "turns", "webhooks", "mailboxes")),
)
_FIGURES = """
    SELECT tup_inserted + tup_updated + tup_deleted AS rows, deadlocks,
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes,
        (SELECT wal_sync FROM pg_stat_wal) AS syncs, pg_database_size(current_database()) AS size
    FROM pg_stat_database WHERE datname = current_database()
"""
_STATEMENTS = """
    SELECT query, calls, total_exec_time FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_POSTMASTER = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int"
_WAITS = """
    SELECT coalesce(wait_event_type || ':' || wait_event, 'CPU') FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
"""
_TICKS = os.sysconf("SC_CLK_TCK")

Reading = Counter[str]


class Probe:
    """Connection that only reads statistics. They are cumulative: subtract two readings."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._postmaster: int = self._connection.execute(_POSTMASTER).fetchall()[0][0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self) -> Reading:
        """Return the current totals: `cpu` in seconds, count and time by kind of statement, `statements` for all."""
        found = self._connection.execute(_FIGURES)
        names = [column.name for column in found.description or ()]
        reading = Counter(dict(zip(names, map(int, found.fetchall()[0]), strict=True)))
        for query, calls, ms in self._connection.execute(_STATEMENTS):
            if kind := _kind(" ".join(query.split())):
                reading[kind] += calls
                reading[spent(kind)] += ms
                reading["statements"] += calls
                reading["transactions"] += calls if query.startswith("BEGIN") else 0
        reading["cpu"] = self._cpu()  # type: ignore[assignment]  # a Counter's values need not be whole
        return reading

    def waits(self) -> list[str]:
        """Return the current wait event of each connection with work."""
        return [wait for (wait,) in self._connection.execute(_WAITS)]

    def _cpu(self) -> float:
        """Return CPU time of the server with all its processes; ended ones count in the postmaster."""
        total = sum((_times(self._postmaster) or [0])[:4])
        for path in Path("/proc").glob("[0-9]*"):
            times = _times(int(path.name))
            total += sum(times[:2]) if times and times[4] == self._postmaster else 0
        return total / _TICKS


def spent(kind: str) -> str:
    """Return the name of the milliseconds that statements of this kind took in the server."""
    return f"{kind} ms"


def difference(after: Reading, before: Reading) -> Reading:
    """Return the difference of two readings."""
    return Counter({name: value - before[name] for name, value in after.items()})


def _kind(query: str) -> str | None:
    return next((kind for kind, marks in _KINDS if any(mark in query for mark in marks)), None)


def _times(pid: int) -> list[int] | None:
    """Return user and system time, the same of ended children, and the parent; None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return [*map(int, fields[11:15]), int(fields[1])]
