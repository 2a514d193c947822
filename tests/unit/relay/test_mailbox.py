"""Admission of a mailbox: rate, reserve for urgent mail, and recipients of a day, its own and the tenant's."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from app.clock import Clock
from app.mail.mailbox_health import GROW_AFTER
from app.mail.outcome.attempt import Attempt, Phase, Reply
from app.mail.outcome.verdict import Action, Explanation, LoginMethod, Scope, Verdict
from app.mail.policy import judge
from app.mail.times import DAY
from app.relay.mailbox import Headroom, Mailbox, RelayLimits
from app.relay.sliding_window import SlidingWindow

SLOWED = Verdict(
    Action.DEFER, Scope.MAILBOX, Explanation("too fast", "wait"), "rate", pause=5.0, reduce_concurrency=True
)
RELAYED = Verdict(Action.RELAYED, Scope.MESSAGE, Explanation("done", "nothing"), "relayed")
ANSWERED = Attempt(Phase.DOT, Reply.of(250, ["2.0.0 OK"]))


@dataclass(frozen=True)
class ManualClock(Clock):
    """Clock that a test moves."""

    at: tuple[float, ...] = (1_800_000_000.0,)

    def now(self) -> float:
        """Current time."""
        return self.at[0]

    monotonic = now

    def move(self, seconds: float) -> None:
        """Advance the clock."""
        object.__setattr__(self, "at", (self.at[0] + seconds,))


@pytest.fixture
def clock() -> ManualClock:
    """Stopped clock."""
    return ManualClock()


def send(mailbox: Mailbox, count: int, recipients: int = 1) -> None:
    """Begin and end at once."""
    for _ in range(count):
        assert mailbox.begin(recipients)
        mailbox.end(recipients)


@pytest.mark.parametrize(
    ("method", "present", "absent"),
    [
        (LoginMethod.PASSWORD, "POSTERN_PASSWORD", "<object-id>"),
        (LoginMethod.OAUTH, "<object-id>", "POSTERN_PASSWORD"),
    ],
)
def test_a_held_mailbox_has_the_fix_of_its_login(
    clock: ManualClock, method: LoginMethod, present: str, absent: str
) -> None:
    """Exchange's reply is the same for a wrong password and for an app without a right."""
    mailbox = Mailbox("m", RelayLimits(), clock, method=method)
    refused = Attempt(Phase.AUTH, Reply.of(535, ["5.7.3 Authentication unsuccessful"]))
    mailbox.observe(None, refused, [*judge(refused, ["m"]).values()])
    assert mailbox.condition.explanation is not None
    assert present in mailbox.condition.explanation.fix
    assert absent not in mailbox.condition.explanation.fix


def test_a_part_of_the_rate_is_reserved_for_urgent_mail(clock: ManualClock) -> None:
    """Five of thirty in a minute; urgent mail may use all."""
    mailbox = Mailbox("m", RelayLimits(), clock)
    assert mailbox.headroom() == Headroom(30, 25)
    send(mailbox, 25)
    assert mailbox.headroom() == Headroom(5, 0)
    assert mailbox.wait_time() == 0.0
    assert 0.0 < mailbox.non_urgent_wait_time() < 60.0


def test_the_rate_follows_the_number_of_sessions(clock: ManualClock) -> None:
    """After throttling a third of the sessions has a third of the rate, growing back step by step."""
    mailbox = Mailbox("m", RelayLimits(), clock)
    mailbox.observe(UUID(int=1), ANSWERED, [SLOWED])
    assert mailbox.headroom() == Headroom(0, 0)
    clock.move(6.0)
    mailbox.observe(UUID(int=2), ANSWERED, [RELAYED])
    assert (mailbox.connections, mailbox.headroom().total) == (1, 10)
    send(mailbox, 10)
    assert mailbox.headroom().total == 0
    assert mailbox.wait_time() == 60.0
    assert mailbox.non_urgent_wait_time() >= 60.0
    clock.move(GROW_AFTER)
    assert (mailbox.condition.connections, mailbox.headroom().total) == (2, 20)
    clock.move(GROW_AFTER)
    assert (mailbox.condition.connections, mailbox.headroom().total) == (None, 30)


def test_a_part_of_the_daily_quota_is_reserved_for_urgent_mail(clock: ManualClock) -> None:
    """Two in a hundred recipients."""
    mailbox = Mailbox("m", RelayLimits(messages_per_minute=1000, recipients_per_day=100), clock)
    send(mailbox, 97)
    assert mailbox.headroom().non_urgent > 0
    send(mailbox, 1)
    assert mailbox.headroom() == Headroom(902, 0)
    assert mailbox.non_urgent_wait_time() > 80_000
    send(mailbox, 2)
    assert mailbox.headroom() == Headroom(0, 0)


def test_the_tenant_quota_is_shared_by_its_mailboxes(clock: ManualClock) -> None:
    tenant = SlidingWindow(10, DAY)
    first, second = (Mailbox(name, RelayLimits(), clock, tenant) for name in "ab")
    send(first, 1, recipients=8)
    assert second.begin(2)
    assert not first.begin(1)
    assert first.headroom() == second.headroom() == Headroom(0, 0)
    second.cancel(2)
    assert first.headroom().total > 0
    clock.move(DAY + 60)
    assert second.begin(10)
