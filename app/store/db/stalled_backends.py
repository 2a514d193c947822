"""Backends of PostgreSQL whose client stopped inside a pipeline, with rows locked. Contains no table.

`idle_in_transaction_session_timeout` does not run there: the first message of a pipeline ends it, and it starts again
only after the Sync. No timeout of the connection runs either, because the kernel of a stopped process still
acknowledges what arrives.
"""

from sqlalchemy import Connection, text

from app.store.db.engine import CLIENT_TIMEOUT

_END = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user
    AND application_name = current_setting('application_name')
    AND xact_start IS NOT NULL AND wait_event = 'ClientRead'
    AND state_change < clock_timestamp() - make_interval(secs => :timeout)
""")


def end_stalled_backends(connection: Connection) -> None:
    """End backends of this role and application that have waited CLIENT_TIMEOUT for their client. SQLite has none."""
    if connection.dialect.name == "postgresql":
        connection.execute(_END, {"timeout": CLIENT_TIMEOUT})
