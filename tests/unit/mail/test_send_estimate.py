"""Estimated send time of a waiting message by the limits of its mailboxes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.office365.limits import MailboxLimits
from app.mail.send_estimate import MailboxCapacity, estimate_send_time
from app.relay.sliding_window import SlidingWindow

NOW = 1_800_000_000.0
EXCHANGE = MailboxLimits(messages_per_minute=30, recipients_per_day=10_000)


def way(
    opens_in: float = 0.0, sent: tuple[float, ...] = (), capacity: MailboxLimits = EXCHANGE, recipients: int = 0
) -> MailboxCapacity:
    """Return a mailbox that sent this many seconds ago."""
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
def test_a_slot_is_free_a_minute_after_its_use(ahead: int, ways: list[MailboxCapacity], seconds: float) -> None:
    """A free slot is used now."""
    assert estimate_send_time(ahead, ways, NOW) == pytest.approx(NOW + seconds)


def test_without_an_open_mailbox_there_is_no_estimate() -> None:
    assert estimate_send_time(0, [], NOW) is None


def test_beyond_the_daily_limit_the_rate_is_that_of_whole_days() -> None:
    nearly = way(recipients=9_990)
    assert estimate_send_time(9, [nearly], NOW) == NOW
    beyond = estimate_send_time(10_009, [nearly], NOW)
    assert beyond is not None
    assert beyond >= NOW + 0.99 * 86_400


@given(st.integers(0, 250), st.lists(st.floats(0.0, 59.0), max_size=30))
def test_the_estimate_equals_the_sliding_window(ahead: int, sent: list[float]) -> None:
    """For one mailbox without latency."""
    window, now = SlidingWindow(30, 60.0), 0.0
    window.restore((-ago, 1) for ago in sent)
    for _ in range(ahead):
        now += window.wait_time(now)
        window.begin()
        window.end(now)
    now += window.wait_time(now)
    assert estimate_send_time(ahead, [way(sent=tuple(sent))], NOW) == pytest.approx(NOW + now, abs=0.2)
