"""The health of a mailbox: probes at their times, trials after trouble, growth after 432, clocks that jump."""

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
    """The longer of the two counts: 2 hours instead of 5 minutes and of 1 hour, but not instead of 6 hours."""
    condition, now, rests = OPEN, 0.0, []
    for _ in range(3):
        condition = after(condition, LOCKED_OUT, now)
        rests.append(condition.cooldown)
        assert condition.until == now + condition.cooldown
        assert not condition.probe_due(condition.until - 1)
        now = condition.until
    assert rests == [7200.0, 7200.0, PROBE_DELAYS[2]]


def test_what_was_under_way_when_it_was_held_changes_nothing() -> None:
    """Three workers meet the same refusal: it is one."""
    held = after(OPEN, REFUSED, 0.0)
    assert after(held, REFUSED, 1.0) == held
    assert after(held, UNREACHED, 2.0) == held
    assert after(held, RELAYED, 3.0, during_login=False).health is Health.HELD


def test_a_login_that_works_opens_it_and_ends_the_doubt() -> None:
    """What was wrong on the way in is mended by coming in."""
    opened = mailbox_health.after_login(after(OPEN, REFUSED, 0.0), 300.0)
    assert (opened.health, opened.unproven, opened.half_open) == (Health.OPEN, False, False)


def test_what_was_refused_behind_the_login_is_tried_with_one_message() -> None:
    """A login proves nothing about a quota; a relayed message does."""
    rested = mailbox_health.as_of(after(OPEN, QUOTA, 0.0, during_login=False), 3600.0, 3)
    assert (rested.health, rested.unproven, rested.half_open) == (Health.OPEN, False, True)
    assert mailbox_health.after_login(rested, 3601.0).half_open
    assert not after(rested, RELAYED, 3602.0, during_login=False).half_open


def test_a_pause_grows_with_each_refusal_and_ends_by_itself() -> None:
    """An unreachable upstream is asked less and less often, at least every five minutes."""
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


def test_a_message_that_fails_by_itself_does_not_touch_the_mailbox() -> None:
    """Its trouble is its own."""
    assert after(OPEN, FAILED, 5.0, during_login=False) == OPEN


def test_a_person_holds_and_only_a_person_releases() -> None:
    """No probe opens it; after the release one login comes first."""
    held = mailbox_health.hold(OPEN, "audit", 10.0)
    assert mailbox_health.as_of(held, 1e9, 3).health is Health.HELD
    assert not held.probe_due(1e9)
    assert held.explanation is not None
    assert "audit" in held.explanation.summary
    released = mailbox_health.release(held, 20.0)
    assert (released.health, released.unproven) == (Health.OPEN, True)


def test_a_clock_set_back_does_not_prolong_a_rest() -> None:
    """A day back: the pause lasts as long as it was to last."""
    paused = after(OPEN, QUOTA, 100_000.0, during_login=False)
    set_back = mailbox_health.as_of(paused, 100_000.0 - 86_400.0, 3)
    assert set_back.until == 100_000.0 - 86_400.0 + 3600.0
    assert mailbox_health.as_of(set_back, set_back.until, 3).health is Health.OPEN


some = st.sampled_from([RELAYED, REFUSED, LOCKED_OUT, UNREACHED, QUOTA, BUSY, FAILED])


@given(st.lists(st.tuples(some, st.booleans(), st.floats(-7200, 30_000)), max_size=60))
def test_no_history_leaves_a_mailbox_shut_for_ever(history: list[tuple[Verdict, bool, float]]) -> None:
    """Whatever happened, and however the clock ran: it is open, or a moment is set at which it is tried again."""
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
