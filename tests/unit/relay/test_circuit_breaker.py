"""Circuit breaker: similar errors of different messages open it before Exchange's lockout for continuous errors."""

from uuid import UUID

from app.mail.outcome.verdict import Action, Explanation, Scope, Verdict
from app.relay.mailbox import DISTINCT_MESSAGES, FAILURE_WINDOW, CircuitBreaker

WHY = Explanation("No Send As.", "Grant it.")
DENIED = Verdict(Action.FAIL, Scope.MESSAGE, WHY, "send-as-denied", lockout_class="send-as-denied")
FULL = Verdict(Action.DEFER, Scope.MAILBOX, WHY, "mailbox-full", lockout_class="mailbox-full")
RELAYED = Verdict(Action.RELAYED, Scope.MESSAGE, WHY, "relayed")
ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)


def test_three_different_messages_open_it() -> None:
    """The reason has the fix of the error."""
    breaker = CircuitBreaker()
    assert breaker.observe(ONE, [DENIED], 0.0) is None
    assert breaker.observe(TWO, [DENIED], 1.0) is None
    tripped = breaker.observe(THREE, [DENIED], 2.0)
    assert tripped is not None
    assert tripped.fix == WHY.fix
    assert str(DISTINCT_MESSAGES) in tripped.summary


def test_one_message_never_opens_it() -> None:
    """With any number of attempts and recipients."""
    breaker = CircuitBreaker()
    assert [breaker.observe(ONE, [DENIED] * 50, float(n)) for n in range(20)] == [None] * 20


def test_a_relayed_message_resets_the_count() -> None:
    """Exchange counts continuous errors."""
    breaker = CircuitBreaker()
    for message, verdict in ((ONE, DENIED), (TWO, DENIED), (THREE, RELAYED), (THREE, DENIED)):
        assert breaker.observe(message, [verdict], 0.0) is None


def test_old_errors_and_other_kinds_do_not_count_together() -> None:
    """Ten minutes, and each class of error separately."""
    breaker = CircuitBreaker()
    assert breaker.observe(ONE, [DENIED], 0.0) is None
    assert breaker.observe(TWO, [FULL], 1.0) is None
    assert breaker.observe(TWO, [DENIED], 2.0) is None
    assert breaker.observe(THREE, [DENIED], FAILURE_WINDOW + 1.0) is None
