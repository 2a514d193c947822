"""Record of the bounces that a batch of trace rows or non-delivery reports has, if they may suppress the address."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

from app.mail.delivery.bounce import Cause
from app.mail.office365.bounces.lookup import may_suppress
from app.mail.suppression import Bounce, comparable
from app.store.suppressions.bounces import BounceReport, record_bounces
from app.store.trace.records import Reports


def suppress(connection: Connection, bounces: Iterable[tuple[UUID, str, Cause]], batch: Reports) -> None:
    """Record the bounces (email, address, cause) of a batch whose causes may suppress an address."""
    found = []
    for email, address, cause in bounces:
        own = comparable(address).rpartition("@")[2] in batch.scope.own_domains
        if needed := may_suppress(cause.code, cause.text, own_organization=own):
            bounce = Bounce(address, cause.code, cause.text, needed)
            found.append(BounceReport(email, bounce, batch.seen_by, batch.now, batch.suppression_lifetime))
    record_bounces(connection, found)
