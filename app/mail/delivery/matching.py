"""Search for the email and recipient of a row of the trace. Pure.

Rule 1: a row belongs to a recipient of an email with exactly its Message-ID and its recipient address.
Rule 2: the first row gives a recipient its network id. A row with another one is of another email with the same
Message-ID and recipient, or else it is a duplicate: Exchange has the email twice.
Rule 3: a non-delivery report has no network id. If several emails have its Message-ID and recipient, it is about the
one that has bounced, or else about the first that still can: read again, it changes no second one.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar
from uuid import UUID

from app.mail.delivery.states import DeliveryState, next_state
from app.mail.message.address import AddressError, normalize_address


class Candidate(Protocol):
    """Recipient of an email with the row's Message-ID and address; `network_id` None: without a row so far."""

    @property
    def network_id(self) -> UUID | None: ...

    @property
    def delivery(self) -> DeliveryState | None: ...


C = TypeVar("C", bound=Candidate)


def recipient_key(address: str) -> str:
    """Return the form in which recipients are compared: lower case, with the domain in A-labels."""
    try:
        return normalize_address(address)
    except AddressError:
        return address.strip().lower()


def email_id(message_id: str) -> UUID | None:
    """Return the id of the email with a Message-ID that Postern made (id@domain); None for any other form."""
    local = message_id.partition("@")[0]
    try:
        id = UUID(local)
    except ValueError:
        return None
    return id if str(id) == local else None


def assign(candidates: Iterable[C], network_id: UUID | None) -> tuple[C | None, bool]:
    """Return the candidate that a row with this network id belongs to, and whether it is a duplicate of it.

    None: there are no candidates. `network_id` None: the row is that of a non-delivery report.
    """
    ordered = list(candidates)
    if network_id is None:
        return _bounced(ordered), False
    same = next((candidate for candidate in ordered if candidate.network_id == network_id), None)
    fresh = next((candidate for candidate in ordered if candidate.network_id is None), None)
    if found := same or fresh:
        return found, False
    return (ordered[0], True) if ordered else (None, False)


def _bounced(candidates: list[C]) -> C | None:
    done = [candidate for candidate in candidates if candidate.delivery is DeliveryState.BOUNCED]
    able = [candidate for candidate in candidates if next_state(candidate.delivery, DeliveryState.BOUNCED) is not None]
    return next(iter([*done, *able, *candidates]), None)
