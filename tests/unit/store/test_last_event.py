"""`last_event` of every state: each row of its table."""

from uuid import UUID

import pytest

from app.mail.lifecycle import MessageState, RecipientState
from app.mail.message.message import Lane, MessageSummary, OnUnknown
from app.store.read.last_event import last_event
from app.store.records import Email, RecipientRecord

NOW = 1_000_000.0
S, R = MessageState, RecipientState


def email(
    state: MessageState, *, age: float = 10, scheduled_in: float | None = None, tried: bool = False, to: str = "p"
) -> Email:
    """Return an email of this age in seconds; `to` has a letter for each recipient: pending, relayed, failed."""
    states = {"p": R.PENDING, "r": R.RELAYED, "f": R.FAILED}
    return Email(
        id=UUID(int=1),
        key_id=UUID(int=2),
        pool="main",
        lane=Lane.NORMAL,
        state=state,
        message_id="a@b",
        head=MessageSummary("a@b.c", ("d@e.f",), "s"),
        size=1,
        created_at=NOW - age,
        due_at=None,
        expires_at=NOW + 1,
        scheduled_at=None if scheduled_in is None else NOW + scheduled_in,
        ended_at=None,
        mailbox=None,
        on_unknown=OnUnknown.RETRY_ONCE,
        possible_duplicate=False,
        explanation=None,
        attempted=tried,
        recipients=tuple(RecipientRecord(f"{n}@x.y", states[letter], None) for n, letter in enumerate(to)),
    )


@pytest.mark.parametrize(
    ("mail", "event"),
    [
        (email(S.QUEUED), "queued"),
        (email(S.QUEUED, age=3600), "delivery_delayed"),
        (email(S.QUEUED, tried=True), "delivery_delayed"),
        (email(S.QUEUED, scheduled_in=60), "scheduled"),
        (email(S.QUEUED, age=9000, scheduled_in=-60), "queued"),
        (email(S.QUEUED, age=9000, scheduled_in=-3600), "delivery_delayed"),
        (email(S.ACTIVE), "queued"),
        (email(S.ACTIVE, tried=True), "delivery_delayed"),
        (email(S.DEFERRED), "delivery_delayed"),
        (email(S.DEFERRED, to="rfp"), "delivery_delayed"),
        (email(S.QUEUED, tried=True, to="rp"), "delivery_delayed"),
        (email(S.HELD), "queued"),
        (email(S.HELD, age=3600), "delivery_delayed"),
        (email(S.HELD, tried=True), "delivery_delayed"),
        (email(S.HELD, scheduled_in=60), "scheduled"),
        (email(S.DONE, to="rr"), "sent"),
        (email(S.DONE, to="rf"), "failed"),
        (email(S.DONE, to="rrrf"), "failed"),
        (email(S.DONE, to="fr"), "failed"),
        (email(S.DONE, to="f"), "failed"),
        (email(S.CANCELLED), "canceled"),
        (email(S.CANCELLED, scheduled_in=60), "canceled"),
        (email(S.CANCELLED, to="rfp"), "canceled"),
    ],
)
def test_every_row_of_the_table(mail: Email, event: str) -> None:
    """With the limits of the hour."""
    assert last_event(mail, NOW) == event
