"""Ownership of mailboxes: one replica at a time, fenced by a token that grows with every change of the owner; and
heartbeats, by which a replica stays alive and reads the owners.

A replica is alive until the end of the lease of its last heartbeat, by the database's clock; clocks of hosts do not
matter. Other replicas take over the mailboxes of a dead one (`recover.acquire`). It need not notice: the statement that
claims checks the token (OWNED) under a lock that a take-over does not pass, and its claims are void once the take-over
has committed. So the check needs no statement of its own; a heartbeat needs three, however many mailboxes there
are, and on PostgreSQL one that ends the backends of stopped processes, whose locks would prevent a take-over.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, literal_column, select, text, update

from app.mail.times import HOUR
from app.store.db.dialect import DatabaseNow, upsert
from app.store.db.engine import CLIENT_TIMEOUT
from app.store.db.writer import per_argument
from app.store.mailboxes.records import ClusterView, MailboxOwner, Replica
from app.store.schema import owners, replicas

REPLICA_RETENTION = float(HOUR)  # seconds that the row of a dead replica stays

_o, _r = owners.c, replicas.c

# Locked without waiting: a lock held by another transaction is a take-over of this mailbox.
OWNED = (
    select(literal_column("1"))
    .select_from(owners)
    .where(_o.mailbox == bindparam("by"), _o.token == bindparam("fence"))
    .with_for_update(read=True, skip_locked=True)
    .exists()
)
"""Condition: the mailbox `by` is owned under the token `fence`, and stays so until the commit."""

ALIVE = _r.until > DatabaseNow()

_ALIVE = select(_r.id, _r.serves, DatabaseNow().label("moment")).where(ALIVE)
_OWNERS = select(_o.mailbox, _o.replica, _o.token).order_by(_o.mailbox)
_RELEASE = update(owners).values(replica=None, token=_o.token + 1)
_MINE = (
    select(_o.mailbox)
    .where(_o.mailbox == bindparam("mailbox_name"), _o.token == bindparam("fence"))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_LEAVE = delete(replicas).where(_r.id == bindparam("replica_id"))
_DELETE_DEAD = delete(replicas).where(_r.until < DatabaseNow() - REPLICA_RETENTION)
_END_STALLED = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user
    AND application_name = current_setting('application_name')
    AND xact_start IS NOT NULL AND wait_event = 'ClientRead'
    AND state_change < clock_timestamp() - make_interval(secs => :timeout)
""")


@per_argument
def heartbeat(connection: Connection, replica: Replica) -> ClusterView:
    """Renew the lease of a replica; return the live replicas and the owner of every mailbox."""
    _end_stalled_backends(connection)
    until = DatabaseNow() + replica.lease
    statement = upsert(connection.dialect.name, replicas).values(
        id=replica.id, name=replica.name, serves=replica.serves, until=until
    )
    connection.execute(statement.on_conflict_do_update(index_elements=[_r.id], set_={"until": until}))
    view = _cluster_view(connection)
    missing = sorted({*replica.mailboxes} - {one.mailbox for one in view.owners})
    if missing:
        connection.execute(_DELETE_DEAD)
        rows = [{"mailbox": mailbox, "replica": None, "token": 0} for mailbox in missing]
        connection.execute(upsert(connection.dialect.name, owners).on_conflict_do_nothing(), rows)
        view = _cluster_view(connection)
    return view


def release(connection: Connection, batch: Sequence[tuple[str, int]]) -> list[bool]:
    """Release mailboxes that are owned under these tokens; return for each whether it was."""
    statement = _RELEASE.where(_o.mailbox == _MINE)
    return [
        connection.execute(statement, {"mailbox_name": mailbox, "fence": token}).rowcount == 1
        for mailbox, token in sorted(batch)
    ]


@per_argument
def leave(connection: Connection, replica: UUID) -> None:
    """Remove a replica."""
    connection.execute(_LEAVE, {"replica_id": replica})


def _cluster_view(connection: Connection) -> ClusterView:
    alive = connection.execute(_ALIVE).all()
    found = tuple(MailboxOwner(*row) for row in connection.execute(_OWNERS))
    has_clock = alive and connection.dialect.name == "postgresql"
    return ClusterView({row.id: row.serves for row in alive}, found, alive[0].moment if has_clock else None)


def _end_stalled_backends(connection: Connection) -> None:
    """End backends of PostgreSQL whose client stopped inside a pipeline, with rows locked, for CLIENT_TIMEOUT.

    `idle_in_transaction_session_timeout` does not run there: the first message of a pipeline ends it, and it starts
    again only after the Sync. No timeout of the connection runs either, because the kernel of a stopped process still
    acknowledges what arrives.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_END_STALLED, {"timeout": CLIENT_TIMEOUT})
