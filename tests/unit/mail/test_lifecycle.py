"""Lifecycle of a message: transition table, and the step after an attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import lifecycle
from app.mail.lifecycle import (
    TRANSITIONS,
    ActiveMessage,
    Event,
    InvalidTransitionError,
    MessageState,
    RecipientState,
    next_state,
    settle,
)
from app.mail.message.message import OnUnknown
from app.mail.outcome.verdict import Action, Explanation, Scope, Verdict

WHY = Explanation("so it is", "do this")
A, B = "ada@example.net", "bob@example.net"
FINAL = {RecipientState.RELAYED, RecipientState.FAILED}


def verdict(action: Action, scope: Scope = Scope.MESSAGE, **more: object) -> Verdict:
    """A verdict with the usual words."""
    return Verdict(action, scope, WHY, "a-rule", "250 ok", **more)  # type: ignore[arg-type]  # test shorthand


def standing(**more: object) -> ActiveMessage:
    """A young message that expires at 1000."""
    facts = {"due_since": 0.0, "expires_at": 1000.0, "on_unknown": OnUnknown.RETRY_ONCE, "unknown_before": 0}
    return ActiveMessage(**{**facts, **more})  # type: ignore[arg-type]  # test shorthand


RELAYED, FAILED = verdict(Action.RELAYED), verdict(Action.FAIL)
LATER = verdict(Action.DEFER)
BEYOND = verdict(Action.DEFER, Scope.HOST, pause=5.0)
DOUBT = verdict(Action.DEFER, in_doubt=True, delay=60.0)


@pytest.mark.parametrize(
    ("verdicts", "event", "due_at", "states"),
    [
        ({A: RELAYED, B: RELAYED}, Event.FINISH, None, ["relayed", "relayed"]),
        ({A: RELAYED, B: FAILED}, Event.FINISH, None, ["relayed", "failed"]),
        ({A: RELAYED, B: LATER}, Event.DEFER, 130.0, ["relayed", "pending"]),
        ({A: FAILED, B: BEYOND}, Event.GIVE_BACK, 100.0, ["failed", "pending"]),
        ({A: LATER, B: BEYOND}, Event.DEFER, 200.0, ["pending", "pending"]),
    ],
)
def test_the_state_of_a_message_follows_its_recipients(
    verdicts: dict[str, Verdict], event: Event, due_at: float | None, states: list[str]
) -> None:
    """Final if all are; back without an attempt if the fault is not its own; else deferred."""
    settlement = settle(
        standing(due_since=70.0 if B in verdicts and verdicts[A] is RELAYED else 0.0), verdicts, 100.0, 0.0
    )
    assert (settlement.event, settlement.due_at) == (event, due_at)
    assert [settlement.recipients[address].state for address in (A, B)] == states


def test_a_message_expires() -> None:
    """Pending recipients then fail, with the reason."""
    settlement = settle(standing(), {A: RELAYED, B: LATER}, 1000.0, 0.0)
    assert settlement.event is Event.EXPIRE
    assert settlement.explanation is lifecycle.EXPIRED
    assert [one.state for one in settlement.recipients.values()] == [RecipientState.RELAYED, RecipientState.FAILED]


def test_the_next_attempt_is_not_after_the_expiry() -> None:
    assert settle(standing(expires_at=110.0), {A: LATER}, 100.0, 0.0).due_at == 110.0


@pytest.mark.parametrize(
    ("on_unknown", "before", "event", "explanation"),
    [
        (OnUnknown.RETRY_ONCE, 0, Event.DEFER, WHY),
        (OnUnknown.RETRY_ONCE, 1, Event.HOLD, lifecycle.UNKNOWN_TWICE),
        (OnUnknown.HOLD, 0, Event.HOLD, lifecycle.UNKNOWN_HELD),
        (OnUnknown.ASSUME_SENT, 0, Event.FINISH, lifecycle.ASSUMED_SENT),
    ],
)
def test_a_lost_reply_to_the_dot_follows_on_unknown(
    on_unknown: OnUnknown, before: int, event: Event, explanation: Explanation
) -> None:
    """No automatic third attempt, and always flagged."""
    settlement = settle(standing(on_unknown=on_unknown, unknown_before=before), {A: DOUBT}, 100.0, 0.0)
    assert settlement.in_doubt
    assert (settlement.event, settlement.explanation) == (event, explanation)


def test_assumed_sent_leaves_the_deferred_recipient_pending() -> None:
    """Only recipients in doubt count as sent."""
    settlement = settle(standing(on_unknown=OnUnknown.ASSUME_SENT), {A: DOUBT, B: LATER}, 100.0, 0.0)
    assert settlement.in_doubt
    assert settlement.event is Event.DEFER
    assert [one.state for one in settlement.recipients.values()] == [RecipientState.RELAYED, RecipientState.PENDING]


some_verdicts = st.dictionaries(
    st.sampled_from([A, B, "c@example.net"]), st.sampled_from([RELAYED, FAILED, LATER, BEYOND, DOUBT]), min_size=1
)


@given(some_verdicts, st.floats(0, 2000), st.floats(-1, 1), st.sampled_from(OnUnknown), st.integers(0, 2))
def test_no_settlement_loses_a_recipient(
    verdicts: dict[str, Verdict], now: float, jitter: float, on_unknown: OnUnknown, before: int
) -> None:
    """Each has a result; an ended message has only ended recipients; a waiting one has a due time."""
    settlement = settle(standing(on_unknown=on_unknown, unknown_before=before), verdicts, now, jitter)
    assert set(settlement.recipients) == set(verdicts)
    assert settlement.in_doubt == any(one.in_doubt for one in verdicts.values())
    ended = {one.state for one in settlement.recipients.values()} <= FINAL
    assert (settlement.state is MessageState.DONE) == ended
    assert (settlement.due_at is None) == (settlement.state in (MessageState.DONE, MessageState.HELD))


def test_other_transitions_are_errors() -> None:
    """An ended message is not claimed, a cancelled one is final."""
    for state, event in [
        (MessageState.DONE, Event.CLAIM),
        (MessageState.CANCELLED, Event.RETRY),
        (MessageState.ACTIVE, Event.CANCEL),
        (MessageState.HELD, Event.EXPIRE),
        (MessageState.QUEUED, Event.CONFIRM),
        (MessageState.ACTIVE, Event.RETRY),
    ]:
        with pytest.raises(InvalidTransitionError):
            next_state(state, event)


def test_every_state_is_reached_and_every_event_is_used() -> None:
    """An unreachable row is a mistake."""
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    assert set(TRANSITIONS) == set(MessageState) == reached
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)
