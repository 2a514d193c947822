"""Retry delays: by age, with jitter, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from app.mail import retry_schedule

ages = st.floats(0, 10 * 86_400)
jitters = st.floats(-1, 1)


def test_the_delay_equals_the_age() -> None:
    """At most an hour."""
    assert [retry_schedule.retry_delay(age, 0) for age in (0, 30, 60, 600, 7200)] == [30, 30, 60, 600, 3600]


@given(ages, jitters)
def test_the_delay_stays_within_its_bounds(age: float, jitter: float) -> None:
    assert 24 <= retry_schedule.retry_delay(age, jitter) <= 4320


@given(st.integers(1, 10_000), jitters)
def test_the_backoff_doubles_up_to_five_minutes(failures: int, jitter: float) -> None:
    assert 4 <= retry_schedule.backoff(failures, jitter) <= 360
    assert retry_schedule.backoff(failures + 1, 0) >= retry_schedule.backoff(failures, 0)
