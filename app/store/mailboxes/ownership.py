"""Whose each mailbox is: one replica's at a time, by a token that grows with every owner and with none.

A replica lives as long as it said at its last beat, by the database's clock: the clocks of the hosts do not matter.
Who is not heard of loses its mailboxes to the others (takeover.py). It need not know: the token is looked at in the
statement that claims (OWNED), under a lock that a take-over waits for, and whatever it had claimed is no longer its
own when the take-over has committed. So the fence costs no statement, and a beat costs three for a replica, however
many mailboxes it has.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from app.store.db.dialect import DatabaseNow, upsert
from app.store.mailboxes.records import ClusterView, MailboxOwner, Replica
from app.store.schema import owners, replicas

REPLICA_RETENTION = 3600.0  # seconds after which a replica that is not heard of is no longer written down

_o, _r = owners.c, replicas.c

# Locked, and not waited for: who cannot have the lock is about to lose the mailbox.
OWNED = (
    select(literal_column("1"))
    .select_from(owners)
    .where(_o.mailbox == bindparam("by"), _o.token == bindparam("fence"))
    .with_for_update(read=True, skip_locked=True)
    .exists()
)
"""True in a statement while the mailbox `by` is owned under the token `fence`; until the commit it stays so."""

LIVES = _r.until > DatabaseNow()

_LIVING = select(_r.id, _r.serves, DatabaseNow().label("moment")).where(LIVES)
_HOLDINGS = select(_o.mailbox, _o.replica, _o.token).order_by(_o.mailbox)
_RELEASE = update(owners).values(replica=None, token=_o.token + 1)
_MINE = (
    select(_o.mailbox)
    .where(_o.mailbox == bindparam("of"), _o.token == bindparam("under"))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_LEAVE = delete(replicas).where(_r.id == bindparam("who"))
_FORGET = delete(replicas).where(_r.until < DatabaseNow() - REPLICA_RETENTION)


def heartbeat(connection: Connection, batch: Sequence[Replica]) -> list[ClusterView]:
    """Each lives on for its lease; who lives beside it, and whose every mailbox is."""
    return [_heartbeat(connection, replica) for replica in batch]


def release(connection: Connection, batch: Sequence[tuple[str, int]]) -> list[bool]:
    """Give a mailbox back that is owned under this token. False: it is another's already."""
    given = _RELEASE.where(_o.mailbox == _MINE)
    return [
        connection.execute(given, {"of": mailbox, "under": token}).rowcount == 1 for mailbox, token in sorted(batch)
    ]


def leave(connection: Connection, batch: Sequence[UUID]) -> list[None]:
    """These replicas live no longer."""
    for replica in batch:
        connection.execute(_LEAVE, {"who": replica})
    return [None] * len(batch)


def _heartbeat(connection: Connection, replica: Replica) -> ClusterView:
    until = DatabaseNow() + replica.lease
    statement = upsert(connection.dialect.name, replicas).values(
        id=replica.id, name=replica.name, serves=replica.serves, until=until
    )
    connection.execute(statement.on_conflict_do_update(index_elements=[_r.id], set_={"until": until}))
    roll = _cluster_view(connection)
    missing = sorted({*replica.mailboxes} - {holding.mailbox for holding in roll.owners})
    if missing:  # it is new, and so may the replica be
        connection.execute(_FORGET)
        rows = [{"mailbox": mailbox, "replica": None, "token": 0} for mailbox in missing]
        connection.execute(upsert(connection.dialect.name, owners).on_conflict_do_nothing(), rows)
        roll = _cluster_view(connection)
    return roll


def _cluster_view(connection: Connection) -> ClusterView:
    living = connection.execute(_LIVING).all()
    holdings = tuple(MailboxOwner(*row) for row in connection.execute(_HOLDINGS))
    of_a_server = living and connection.dialect.name == "postgresql"
    return ClusterView({row.id: row.serves for row in living}, holdings, living[0].moment if of_a_server else None)
