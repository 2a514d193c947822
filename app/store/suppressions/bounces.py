"""Record of bounces, in the transaction that stores them.

An address is suppressed when the emails to it that bounced within BOUNCE_WINDOW reach the threshold of the bounce
(`Bounce.needed`). Several reports of one email count once, from an SMTP reply, a message trace or an NDR.
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
NO_SUPPRESSION = 0.0  # lifetime, by the setting


@frozen
class BounceReport:
    """Bounce of an email at `at` (epoch seconds).

    `lifetime`: seconds that the address is suppressed; None: without an end; NO_SUPPRESSION: the bounce is ignored.
    """

    email_id: UUID
    bounce: Bounce
    seen_by: SeenBy
    at: float
    lifetime: float | None = None


_c = suppression_candidates.c
_OF_ADDRESS = _c.address == bindparam("recipient")
_COUNT = select(func.count()).where(_OF_ADDRESS, _c.at > bindparam("since"))
_DELETE_COUNTED = delete(suppression_candidates).where(_OF_ADDRESS)


def record_bounces(connection: Connection, reports: Sequence[BounceReport]) -> None:
    """Suppress the addresses that have reached the threshold, and store the other bounces to be counted later."""
    counting = [report for report in reports if report.lifetime != NO_SUPPRESSION]
    by_address = sorted(((comparable(report.bounce.address), report) for report in counting), key=lambda pair: pair[0])
    due = {address: report for address, report in by_address if _is_due(connection, address, report)}
    if due:
        new = [_suppression(address, report) for address, report in due.items()]
        entries.insert(connection, new, max(suppression.created_at for suppression in new))
        execute_many(connection, _DELETE_COUNTED, [{"recipient": address} for address in due])


def _is_due(connection: Connection, address: str, report: BounceReport) -> bool:
    """Store the bounce, unless it suffices alone; return True if the address has reached the threshold."""
    if report.bounce.needed < 2:
        return True
    statement = upsert(connection.dialect.name, suppression_candidates).on_conflict_do_nothing()
    connection.execute(statement, {"address": address, "email_id": report.email_id, "at": report.at})
    count = connection.execute(_COUNT, {"recipient": address, "since": report.at - BOUNCE_WINDOW}).scalar_one()
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
