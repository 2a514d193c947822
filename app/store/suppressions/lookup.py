"""Suppressed recipients of messages that are accepted or claimed.

While the list is empty, a batch of messages costs one search of an empty index. It is not cached: a cache of another
replica would not know the first entry in time.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, bindparam, exists, select

from app.mail.suppression import Listing, Origin, comparable
from app.store.db.prepared import PreparedStatement
from app.store.records import FIRST_ID
from app.store.schema import suppressions
from app.store.suppressions.entries import VALID

WIDTH = 50  # addresses in one statement: the recipients of one email

_s = suppressions.c
ANY_SUPPRESSED = exists().where(_s.id > FIRST_ID).label("any_suppressed")  # a column of another query
_ANY = PreparedStatement(select(_s.id).where(_s.id > FIRST_ID).order_by(_s.id).limit(1))
_LISTED = PreparedStatement(
    select(_s.address, _s.origin, _s.created_at).where(
        _s.address.in_([bindparam(f"a{n}", type_=_s.address.type) for n in range(WIDTH)]), VALID
    )
)


def suppressed(
    connection: Connection, recipients: Mapping[UUID, Sequence[str]], now: float
) -> dict[UUID, dict[str, Listing]]:
    """Return the suppressed recipients of each message, by address. `now`: epoch seconds."""
    if not recipients or _ANY.first(connection, {}) is None:
        return {}
    found = listed(connection, {comparable(to) for addresses in recipients.values() for to in addresses}, now)
    return {
        id: {to: entry for to in addresses if (entry := found.get(comparable(to)))}
        for id, addresses in recipients.items()
        if not found.keys().isdisjoint(map(comparable, addresses))
    }


def listed(connection: Connection, addresses: Iterable[str], now: float) -> dict[str, Listing]:
    """Return the entries of these addresses (in the form for comparisons) that are on the list at `now`."""
    wanted, found = sorted({*addresses}), dict[str, Listing]()
    for start in range(0, len(wanted), WIDTH):
        some = wanted[start : start + WIDTH]
        some += some[-1:] * (WIDTH - len(some))
        values = {f"a{n}": address for n, address in enumerate(some)}
        for row in _LISTED.all(connection, {**values, "now": now}):
            found[row.address] = Listing(Origin(row.origin), row.created_at)
    return found
