"""Bounces that suppress their address, recorded in the transaction that settles them.

Used for replies, message traces and non-delivery reports alike. An address is suppressed once as many emails to it have
bounced within BOUNCE_WINDOW as the bounce needs. Several reports about one email count once.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, bindparam, delete, func, select

from app.frozen import frozen
from app.mail.suppression import BOUNCE_WINDOW, Bounce, Evidence, Origin, SeenBy, comparable
from app.store.db import uuid7
from app.store.db.dialect import execute_many, storable, upsert
from app.store.schema import suppression_candidates
from app.store.suppressions import entries
from app.store.suppressions.records import Suppression

MAX_TEXT = 1000  # characters of the evidence
PRUNE_BATCH = 100  # rows removed in one write


@frozen
class BounceReport:
    """Bounce of an email at `at` (epoch seconds). `lifetime`: seconds that the address is suppressed; None: no end.

    0: it is not suppressed.
    """

    email_id: UUID
    bounce: Bounce
    seen_by: SeenBy
    at: float
    lifetime: float | None = None


_c = suppression_candidates.c
_OF = _c.address == bindparam("of")
_COUNT = select(func.count()).where(_OF, _c.at > bindparam("since"))
_FORGET = delete(suppression_candidates).where(_OF)
_OLD = (
    select(_c.address, _c.email_id)
    .where(_c.at <= bindparam("before"))
    .order_by(_c.at)
    .limit(PRUNE_BATCH)
    .with_for_update(skip_locked=True)
)
_REMOVE = delete(suppression_candidates).where(_OF, _c.email_id == bindparam("by"))


def record_bounces(connection: Connection, reports: Sequence[BounceReport]) -> None:
    """Suppress the addresses that have bounced often enough, and remember the other bounces."""
    wanted = [one for one in reports if one.lifetime != 0.0]
    by_address = sorted(((comparable(one.bounce.address), one) for one in wanted), key=lambda pair: pair[0])
    due = {address: one for address, one in by_address if _is_due(connection, address, one)}
    if due:
        new = [_suppression(address, one) for address, one in due.items()]
        entries.insert(connection, new, max(one.created_at for one in new))
        execute_many(connection, _FORGET, [{"of": address} for address in due])


def prune(connection: Connection, now: float) -> int:
    """Remove up to PRUNE_BATCH bounces that count no more; return their number."""
    rows = connection.execute(_OLD, {"before": now - BOUNCE_WINDOW}).all()
    execute_many(connection, _REMOVE, [{"of": row.address, "by": row.email_id} for row in rows])
    return len(rows)


def _is_due(connection: Connection, address: str, report: BounceReport) -> bool:
    if report.bounce.needed < 2:
        return True
    statement = upsert(connection.dialect.name, suppression_candidates).on_conflict_do_nothing()
    connection.execute(statement, {"address": address, "email_id": report.email_id, "at": report.at})
    count = connection.execute(_COUNT, {"of": address, "since": report.at - BOUNCE_WINDOW}).scalar_one()
    return count >= report.bounce.needed


def _suppression(address: str, report: BounceReport) -> Suppression:
    bounce, at = report.bounce, report.at
    return Suppression(
        id=uuid7.new(at),
        address=address,
        origin=Origin.BOUNCE,
        created_at=at,
        source_id=report.email_id,
        expires_at=None if report.lifetime is None else at + report.lifetime,
        evidence=Evidence(report.email_id, bounce.code, storable(bounce.text)[:MAX_TEXT], report.seen_by),
    )
