"""Entry of the suppression list, and arguments to add and remove entries: values that contain no SQL.

Times are epoch seconds.
"""

from uuid import UUID

from app.frozen import frozen
from app.mail.suppression import Evidence, Origin
from app.store.keys.audit import Actor


@frozen
class Suppression:
    """One entry. `address` is in the form for comparisons; `expires_at` None: it stays until it is removed."""

    id: UUID
    address: str
    origin: Origin
    created_at: float
    source_id: UUID | None = None  # the email that caused it
    expires_at: float | None = None
    evidence: Evidence | None = None


@frozen
class Additions:
    """Addresses to suppress without an expiry, in the form for comparisons."""

    addresses: tuple[str, ...]
    origin: Origin
    now: float
    by: Actor


@frozen
class Removals:
    """Entries to remove, by id or by address (in the form for comparisons)."""

    now: float
    by: Actor
    ids: tuple[UUID, ...] = ()
    addresses: tuple[str, ...] = ()
