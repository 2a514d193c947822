"""Ids never go backwards, whatever the clock does."""

from app.api.ids import Ids
from app.clock import Clock


def test_a_standing_clock_counts_on() -> None:
    """More than the counter holds in one millisecond, and all in order."""
    ids = Ids(Clock(speed=0.0, origin=1_795_000_000.0))
    made = [ids.new() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {id_.version for id_ in made} == {7}
    assert {id_.variant for id_ in made} == {"specified in RFC 4122"}


def test_the_time_is_in_front() -> None:
    """RFC 9562 §5.7: 48 bits of milliseconds."""
    assert Ids(Clock(speed=0.0, origin=1_795_000_000.5)).new().int >> 80 == 1_795_000_000_500
