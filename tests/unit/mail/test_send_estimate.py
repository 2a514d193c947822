"""When a waiting message will go: the limits of the mailboxes, reckoned forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.send_estimate import MailboxCapacity, MailboxLimits, estimate_send_time
from app.relay.sliding_window import SlidingWindow

NOW = 1_800_000_000.0
EXCHANGE = MailboxLimits(messages_per_minute=30, recipients_per_day=10_000)


def way(
    opens_in: float = 0.0, sent: tuple[float, ...] = (), capacity: MailboxLimits = EXCHANGE, recipients: int = 0
) -> MailboxCapacity:
    """A mailbox that sent so many seconds ago."""
    return MailboxCapacity(capacity, NOW + opens_in, tuple(NOW - ago for ago in sent), recipients)


@pytest.mark.parametrize(
    ("ahead", "ways", "seconds"),
    [
        (0, [way()], 0),
        (29, [way()], 0),
        (30, [way()], 60),
        (5_000, [way()], 10_000),
        (59, [way(), way()], 0),
        (0, [way(opens_in=40)], 40),
        (0, [way(opens_in=40), way()], 0),
        (30, [way(opens_in=40), way()], 40),
        (0, [way(sent=(50.0,) * 30)], 10),
        (0, [way(sent=(50.0,) * 30, opens_in=20)], 20),
        (400, [way()] * 9, 400 / 270 * 60),
    ],
)
def test_the_limits_say_when(ahead: int, ways: list[MailboxCapacity], seconds: float) -> None:
    """What is free goes now, and each slot comes back a minute after its use."""
    assert estimate_send_time(ahead, ways, NOW) == pytest.approx(NOW + seconds)


def test_where_nobody_opens_nobody_knows() -> None:
    """A held mailbox is not among the ways."""
    assert estimate_send_time(0, [], NOW) is None


def test_the_day_has_a_limit_too() -> None:
    """Beyond what it grants still, the pace is that of whole days."""
    nearly = way(recipients=9_990)
    assert estimate_send_time(9, [nearly], NOW) == NOW
    beyond = estimate_send_time(10_009, [nearly], NOW)
    assert beyond is not None
    assert beyond >= NOW + 0.99 * 86_400


@given(st.integers(0, 250), st.lists(st.floats(0.0, 59.0), max_size=30))
def test_it_is_what_the_window_does(ahead: int, sent: list[float]) -> None:
    """With one mailbox and no latency the estimate is exact."""
    window, now = SlidingWindow(30, 60.0), 0.0
    window.restore((-ago, 1) for ago in sent)
    for _ in range(ahead):
        now += window.wait_time(now)
        window.begin()
        window.end(now)
    now += window.wait_time(now)
    assert estimate_send_time(ahead, [way(sent=tuple(sent))], NOW) == pytest.approx(NOW + now, abs=0.2)
