"""Health of a mailbox: probe times, half-open trials, recovery after 432, clock changes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.mail import mailbox_health
from app.mail.mailbox_health import GROW_AFTER, PROBE_DELAYS, Health, MailboxCondition
from app.mail.outcome.verdict import Action, Explanation, Scope, Verdict

WHY = Explanation("it is so", "do this")
RELAYED = Verdict(Action.RELAYED, Scope.MESSAGE, WHY, "relayed")
REFUSED = Verdict(Action.DEFER, Scope.MAILBOX, WHY, "login-refused", hold=True)
UNREACHED = Verdict(Action.DEFER, Scope.HOST, WHY, "no-reply", pause=5.0)
LOCKED_OUT = Verdict(Action.DEFER, Scope.MAILBOX, WHY, "locked-out", hold=True, pause=7200.0)
QUOTA = Verdict(Action.DEFER, Scope.MAILBOX, WHY, "quota", pause=3600.0)
BUSY = Verdict(Action.DEFER, Scope.MAILBOX, WHY, "concurrent", pause=5.0, reduce_concurrency=True)
FAILED = Verdict(Action.FAIL, Scope.MESSAGE, WHY, "message-refused")
OPEN = MailboxCondition(since=0.0)


def after(condition: MailboxCondition, verdict: Verdict, now: float, *, during_login: bool = True) -> MailboxCondition:
    """One attempt with one recipient, of a mailbox that may have three connections."""
    return mailbox_health.after_attempt(
        mailbox_health.as_of(condition, now, 3), [verdict], now, during_login=during_login, limit=3
    )


def test_a_refused_login_is_probed_at_its_times() -> None:
    """5 minutes, 1 hour, then every 6 hours after the last refusal; `since` stays the first."""
    condition, now, waits = OPEN, 100.0, []
    for _ in range(5):
        condition = after(condition, REFUSED, now)
        assert condition.health is Health.HELD
        assert condition.until is not None
        waits.append(condition.until - now)
        now = condition.until
    assert waits == [PROBE_DELAYS[0], PROBE_DELAYS[1], PROBE_DELAYS[2], PROBE_DELAYS[2], PROBE_DELAYS[2]]
    assert condition.since == 100.0


def test_a_hold_with_a_pause_is_not_probed_sooner() -> None:
    """The longer one counts: 2 hours instead of 5 minutes and of 1 hour, but not instead of 6 hours."""
    condition, now, rests = OPEN, 0.0, []
    for _ in range(3):
        condition = after(condition, LOCKED_OUT, now)
        rests.append(condition.cooldown)
        assert condition.until == now + condition.cooldown
        assert not condition.probe_due(condition.until - 1)
        now = condition.until
    assert rests == [7200.0, 7200.0, PROBE_DELAYS[2]]


def test_concurrent_refusals_count_once() -> None:
    held = after(OPEN, REFUSED, 0.0)
    assert after(held, REFUSED, 1.0) == held
    assert after(held, UNREACHED, 2.0) == held
    assert after(held, RELAYED, 3.0, during_login=False).health is Health.HELD


def test_a_successful_login_opens_the_mailbox() -> None:
    """If the refusal was before or at the login."""
    opened = mailbox_health.after_login(after(OPEN, REFUSED, 0.0), 300.0)
    assert (opened.health, opened.unproven, opened.half_open) == (Health.OPEN, False, False)


def test_a_refusal_after_the_login_is_probed_with_one_message() -> None:
    """A login proves nothing about a quota."""
    rested = mailbox_health.as_of(after(OPEN, QUOTA, 0.0, during_login=False), 3600.0, 3)
    assert (rested.health, rested.unproven, rested.half_open) == (Health.OPEN, False, True)
    assert mailbox_health.after_login(rested, 3601.0).half_open
    assert not after(rested, RELAYED, 3602.0, during_login=False).half_open


def test_a_pause_grows_up_to_five_minutes() -> None:
    condition, now, waits = OPEN, 0.0, []
    for _ in range(8):
        condition = after(condition, UNREACHED, now)
        waits.append((condition.until or now) - now)
        now += waits[-1]
        condition = mailbox_health.as_of(condition, now, 3)
        assert condition.unproven
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_432_halves_the_connections_which_grow_back() -> None:
    """One more a minute, until all are allowed."""
    condition = after(OPEN, BUSY, 0.0, during_login=False)
    assert condition.connections == 1
    assert mailbox_health.as_of(condition, GROW_AFTER - 1, 3).connections == 1
    assert mailbox_health.as_of(condition, GROW_AFTER, 3).connections == 2
    assert mailbox_health.as_of(mailbox_health.as_of(condition, GROW_AFTER, 3), 2 * GROW_AFTER, 3).connections is None


def test_a_fault_of_the_message_leaves_the_mailbox_open() -> None:
    assert after(OPEN, FAILED, 5.0, during_login=False) == OPEN


def test_an_operators_hold_is_not_probed() -> None:
    """After the release the first step is one login."""
    held = mailbox_health.hold(OPEN, "audit", 10.0)
    assert mailbox_health.as_of(held, 1e9, 3).health is Health.HELD
    assert not held.probe_due(1e9)
    assert held.explanation is not None
    assert "audit" in held.explanation.summary
    released = mailbox_health.release(held, 20.0)
    assert (released.health, released.unproven) == (Health.OPEN, True)


def test_a_clock_set_back_does_not_prolong_a_pause() -> None:
    """Not even by a day."""
    paused = after(OPEN, QUOTA, 100_000.0, during_login=False)
    set_back = mailbox_health.as_of(paused, 100_000.0 - 86_400.0, 3)
    assert set_back.until == 100_000.0 - 86_400.0 + 3600.0
    assert mailbox_health.as_of(set_back, set_back.until, 3).health is Health.OPEN


some = st.sampled_from([RELAYED, REFUSED, LOCKED_OUT, UNREACHED, QUOTA, BUSY, FAILED])


@given(st.lists(st.tuples(some, st.booleans(), st.floats(-7200, 30_000)), max_size=60))
def test_every_history_leaves_a_mailbox_open_or_with_a_probe_time(history: list[tuple[Verdict, bool, float]]) -> None:
    """With any clock."""
    condition, now = OPEN, 0.0
    for verdict, during_login, step in history:
        now += step
        condition = after(condition, verdict, now, during_login=during_login)
        assert 1 <= (condition.connections or 3) <= 3
        if condition.health is not Health.OPEN:
            assert condition.until is not None
            assert condition.until - now <= PROBE_DELAYS[-1] + 1e-3
            assert condition.explanation is WHY
        else:
            assert replace(condition, since=0.0).until is None
