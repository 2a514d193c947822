"""States of a delivery: the table of transitions, reports in any order and repeated, the delay."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.delivery.states import TRANSITIONS, DeliveryState, next_state, reported_state
from app.mail.retry_schedule import DELAY_NOTICE_AFTER

_S = DeliveryState
CHANGES = {
    *((None, state) for state in _S),
    *((_S.PENDING, state) for state in _S if state is not _S.PENDING),
    *((_S.DELAYED, state) for state in _S if state not in (_S.PENDING, _S.DELAYED)),
    (_S.QUARANTINED, _S.DELIVERED),
    (_S.BOUNCED, _S.DELIVERED),
}
STATUSES = {
    "gettingStatus": _S.PENDING,
    "pending": _S.PENDING,
    "failed": _S.BOUNCED,
    "delivered": _S.DELIVERED,
    "expanded": _S.EXPANDED,
    "quarantined": _S.QUARANTINED,
    "filteredAsSpam": _S.JUNK,
    "recalled": None,
    "unknownFutureValue": None,
    "": None,
}


@pytest.mark.parametrize(("current", "reported"), list(product([None, *_S], _S)))
def test_every_pair(current: DeliveryState | None, reported: DeliveryState) -> None:
    """A report changes the state in exactly the pairs of the list."""
    assert next_state(current, reported) == (reported if (current, reported) in CHANGES else None)


@pytest.mark.parametrize(("status", "state"), STATUSES.items())
def test_every_status(status: str, state: DeliveryState | None) -> None:
    """Each status of Graph has its state; others report nothing."""
    assert reported_state(status, 0.0) == state
    assert next_state(None, reported_state(status, 0.0)) == state


def test_a_pending_row_becomes_a_delay() -> None:
    """A pending recipient is delayed from the time at which Postern itself reports a delay."""
    assert reported_state("pending", DELAY_NOTICE_AFTER - 1) is _S.PENDING
    assert reported_state("pending", DELAY_NOTICE_AFTER) is _S.DELAYED
    assert reported_state("failed", DELAY_NOTICE_AFTER) is _S.BOUNCED


@given(st.lists(st.sampled_from([*_S, None]), max_size=30))
def test_reports_in_any_order(reports: list[DeliveryState | None]) -> None:
    """A state is entered once at most, repeated reports change nothing, and the end is reached in four steps."""
    current: DeliveryState | None = None
    entered = []
    for report in reports:
        changed = next_state(current, report)
        if changed is not None:
            current = changed
            entered.append(changed)
        assert next_state(current, report) is None or current is not report
        assert current is None or next_state(current, current) is None
    assert len(entered) == len(set(entered)) <= 4
    assert _S.PENDING not in entered[1:]


def test_every_state_has_a_row() -> None:
    """The table is complete."""
    assert TRANSITIONS.keys() == {None, *_S}
