"""Suppression of addresses that bounced for good, in the commit of the bounce. Other recipients are not affected."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select

from app.mail.delivery.bounce import Cause
from app.mail.office365.bounces.lookup import may_suppress
from app.mail.suppression import Evidence, Origin, SeenBy, comparable
from app.mail.times import DAY
from app.store.db import uuid7
from app.store.schema import BOUNCED, SETTLED, recipients, traces
from app.store.suppressions import entries
from app.store.suppressions.records import Suppression

_r, _t = recipients.c, traces.c
_RECENT = (
    select(_t.code, _t.cause)
    .select_from(recipients)
    .join(traces, (_t.message_id == _r.message_id) & (_t.address == _r.address))
    .where(SETTLED, func.lower(_r.address) == bindparam("to"), BOUNCED, _t.at > bindparam("since"))
    .order_by(_t.at.desc())
    .limit(20)
)


def suppress(
    connection: Connection, bounces: Iterable[tuple[UUID, str, Cause]], now: float, own_domains: frozenset[str]
) -> None:
    """Suppress the addresses of bounces (email, address, cause) that were stored in this transaction."""
    found: dict[str, Suppression] = {}
    for email, address, cause in bounces:
        to = comparable(address)
        own = to.rpartition("@")[2] in own_domains
        needed = may_suppress(cause.code, cause.text, own_organization=own)
        if needed and _count(connection, to, now, needed) >= needed:
            evidence = Evidence(email, cause.code, cause.text, SeenBy.TRACE)
            found[to] = Suppression(uuid7.new(now), to, Origin.BOUNCE, now, source_id=email, evidence=evidence)
    if found:
        entries.insert(connection, [*found.values()], now)


def _count(connection: Connection, address: str, now: float, needed: int) -> int:
    """Return the number of bounces of the last 24 hours that say the same, up to `needed`."""
    if needed == 1:
        return 1
    rows = connection.execute(_RECENT, {"to": address, "since": now - DAY})
    return sum(may_suppress(row.code, row.cause, own_organization=False) > 0 for row in rows)
