"""Causes of bounces and delays in the details of the trace, and their types."""

import pytest

from app.mail.delivery.bounce import MAX_CAUSE, NO_CAUSE, Cause, cause_of, classify
from app.mail.delivery.states import DeliveryState
from app.mail.delivery.trace_row import TraceDetail, parse_details

NOT_FOUND = "Reason: [{LED=550 5.1.1 User unknown};{MSG=};{FQDN=mx.example.net};{IP=198.51.100.20}]"


def detail(event: str, description: str, at: float = 0.0) -> TraceDetail:
    """Return a detail."""
    return TraceDetail(at, event, description)


@pytest.mark.parametrize(
    ("description", "cause"),
    [
        (NOT_FOUND, Cause("5.1.1", "550 5.1.1 User unknown")),
        ("Reason: [{LED=550 5.1.351 Remote -> 550 no}]", Cause("5.1.351", "550 5.1.351 Remote -> 550 no")),
        ("554 5.7.171 DLP", Cause("5.7.171", "554 5.7.171 DLP")),
        ("Dropped by a rule from 10.5.1.1.7", Cause("", "Dropped by a rule from 10.5.1.1.7")),
        ("a\r\n b", Cause("", "a b")),
    ],
)
def test_the_cause_of_a_bounce(description: str, cause: Cause) -> None:
    """The server's reply is taken from the description, or all of it; its code is the first enhanced one."""
    assert cause_of([detail("Receive", "5.0.0"), detail("Fail", description)], DeliveryState.BOUNCED) == cause


def test_the_last_event_of_the_state_counts() -> None:
    """A delay has the words of its last deferral; a bounce those of the failure, and others have none."""
    details = [detail("Defer", "450 4.4.316 first"), detail("Defer", "450 4.4.317 second"), detail("Fail", NOT_FOUND)]
    assert cause_of(details, DeliveryState.DELAYED).code == "4.4.317"
    assert cause_of(details, DeliveryState.BOUNCED).code == "5.1.1"
    assert cause_of(details, DeliveryState.DELIVERED) == NO_CAUSE
    assert cause_of([], DeliveryState.BOUNCED) == NO_CAUSE


def test_details_are_put_in_order_and_cut() -> None:
    """Details are sorted by time, and a long text is cut."""
    rows = [
        {"dateTime": "2026-11-30T10:00:05Z", "event": "Fail", "description": "550 5.1.1 " + 900 * "x"},
        {"dateTime": "2026-11-30T09:00:00Z", "event": "Fail", "description": "450 4.4.7 earlier"},
    ]
    cause = cause_of(parse_details(rows), DeliveryState.BOUNCED)
    assert (cause.code, len(cause.text)) == ("5.1.1", MAX_CAUSE)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("5.1.1", ("Permanent", "General")),
        ("5.4.310", ("Permanent", "General")),
        ("5.2.1", ("Permanent", "General")),
        ("5.1.10", ("Permanent", "General")),
        ("5.1.8", ("Transient", "General")),
        ("5.1.90", ("Transient", "General")),
        ("5.4.14", ("Transient", "General")),
        ("5.2.2", ("Transient", "MailboxFull")),
        ("5.2.3", ("Transient", "MessageTooLarge")),
        ("5.3.4", ("Transient", "MessageTooLarge")),
        ("5.7.1", ("Transient", "ContentRejected")),
        ("5.6.0", ("Transient", "ContentRejected")),
        ("4.4.7", ("Transient", "General")),
        ("5.3.0", ("Undetermined", "Undetermined")),
        ("", ("Undetermined", "Undetermined")),
    ],
)
def test_types(code: str, expected: tuple[str, str]) -> None:
    """Only an address or domain that is wrong is permanent; policy, size, quota and a blocked sender are not."""
    assert classify(Cause(code, "")) == expected
