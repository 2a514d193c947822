"""States of a recipient's delivery after the relay, and their transitions. Pure.

Rule 1: a state changes only as TRANSITIONS says; any other report changes nothing. So a report may be repeated.
Rule 2: a report of the status `pending` means DELAYED once Exchange has tried for DELAY_NOTICE_AFTER.
Rule 3: unknown statuses report nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from app.mail.retry_schedule import DELAY_NOTICE_AFTER


class DeliveryState(StrEnum):
    """State of the delivery to one recipient. Stored. A recipient without a row of the trace has none."""

    PENDING = "pending"  # Exchange is still trying
    DELAYED = "delayed"  # it has been trying for DELAY_NOTICE_AFTER
    DELIVERED = "delivered"  # outside the tenant: the next server accepted it
    JUNK = "junk"  # delivered to the folder for junk
    EXPANDED = "expanded"  # the address was a group; its members have rows of their own
    QUARANTINED = "quarantined"  # an administrator may release it
    BOUNCED = "bounced"


_S = DeliveryState
_AFTER_PENDING = frozenset({_S.DELIVERED, _S.JUNK, _S.EXPANDED, _S.QUARANTINED, _S.BOUNCED})

TRANSITIONS: Mapping[DeliveryState | None, frozenset[DeliveryState]] = {
    None: _AFTER_PENDING | {_S.PENDING, _S.DELAYED},
    _S.PENDING: _AFTER_PENDING | {_S.DELAYED},
    _S.DELAYED: _AFTER_PENDING,
    _S.QUARANTINED: frozenset({_S.DELIVERED}),  # released
    _S.BOUNCED: frozenset({_S.DELIVERED}),  # Exchange tried again, with the same network id
    _S.DELIVERED: frozenset(),
    _S.JUNK: frozenset(),
    _S.EXPANDED: frozenset(),
}
ARRIVED = frozenset({_S.DELIVERED, _S.JUNK})

# https://learn.microsoft.com/graph/api/resources/exchangemessagetrace (2026-01-27), `status`.
_STATUSES: Mapping[str, DeliveryState] = {
    "gettingStatus": _S.PENDING,
    "pending": _S.PENDING,
    "failed": _S.BOUNCED,
    "delivered": _S.DELIVERED,
    "expanded": _S.EXPANDED,
    "quarantined": _S.QUARANTINED,
    "filteredAsSpam": _S.JUNK,
}


def reported_state(status: str, age: float) -> DeliveryState | None:
    """Return the state that a row's status reports; None for other statuses. `age`: seconds since the reception."""
    state = _STATUSES.get(status)
    return _S.DELAYED if state is _S.PENDING and age >= DELAY_NOTICE_AFTER else state


def next_state(current: DeliveryState | None, reported: DeliveryState | None) -> DeliveryState | None:
    """Return the new state after a report, or None if it changes nothing. `current` None: no report so far."""
    return reported if reported is not None and reported in TRANSITIONS[current] else None
