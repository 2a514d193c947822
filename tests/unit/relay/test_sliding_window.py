"""Sliding window: no window of the upstream, beginning at any time, exceeds the limit."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from app.relay.sliding_window import SlidingWindow

latencies = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=120)


@given(latencies, st.integers(1, 10), st.randoms(use_true_random=False))
def test_no_window_of_the_upstream_exceeds_the_limit(waits: list[float], limit: int, chance: object) -> None:
    """It may count a message at any time between its start and its reply."""
    window, now, counted = SlidingWindow(limit, 60.0), 0.0, []
    for latency in waits:
        while rest := window.wait_time(now):
            now += max(rest, 1e-9)
        window.begin()
        counted.append(now + chance.random() * latency)  # type: ignore[attr-defined]  # random.Random
        now += latency
        window.end(now)
    for start in counted:
        assert sum(start <= moment < start + 60.0 for moment in counted) <= limit


def test_the_whole_limit_is_used() -> None:
    """With no latency: thirty at once, then thirty more a minute later."""
    window, now = SlidingWindow(30, 60.0), 0.0
    begun: list[float] = []
    while len(begun) < 300:
        now += window.wait_time(now)
        window.begin()
        window.end(now)
        begun.append(now)
    assert begun[-1] == 9 * 60.0


def test_an_active_message_counts_until_a_period_after_its_end() -> None:
    """A message of two minutes uses its slot for three."""
    window = SlidingWindow(1, 60.0)
    window.begin()
    assert window.available(120.0) == 0
    window.end(120.0)
    assert window.wait_time(130.0) == 50.0
    assert window.wait_time(180.0) == 0.0


def test_a_weight_beyond_the_limit_waits_for_an_empty_window() -> None:
    """A message with more recipients than a day allows is sent alone rather than never."""
    window = SlidingWindow(10, 60.0)
    window.begin(3)
    window.end(0.0, 3)
    assert window.wait_time(1.0, weight=50) == 59.0


def test_a_message_given_back_frees_its_slot() -> None:
    """The upstream has not seen it."""
    window = SlidingWindow(1, 60.0)
    window.begin()
    window.cancel()
    assert window.wait_time(0.0) == 0.0


def test_memory_is_bounded_by_merging_close_times() -> None:
    """Into the later one, so that the limit still holds."""
    window = SlidingWindow(1_000_000, 60.0)
    tracemalloc.start()
    try:
        for number in range(100_000):
            window.begin()
            window.end(number * 0.0005)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 500_000
    assert window.available(50.0) == 900_000


RESERVE = 5
INTERVAL = 2.0  # 30 a minute


def others_go(window: SlidingWindow, now: float, until: float, begun: list[float]) -> None:
    """Begin non-urgent messages whenever allowed."""
    while now < until:
        for _ in range(window.available_after_reserve(now, RESERVE)):
            window.begin()
            window.end(now)
            begun.append(now)
        now += max(window.wait_time_after_reserve(now, RESERVE), 1e-6)


@given(st.floats(0.0, 300.0))
def test_urgent_messages_wait_at_most_for_their_intervals(moment: float) -> None:
    """Of five at once, the k-th begins within k intervals and a tenth; the others use the rest."""
    window = SlidingWindow(30, 60.0)
    others_go(window, 0.0, moment, [])
    waits = [window.wait_time(moment, count) for count in range(1, RESERVE + 1)]
    assert all(wait <= (count + 0.1) * INTERVAL + 1e-3 for count, wait in enumerate(waits, 1))


def test_the_reserve_does_not_lower_the_total_rate() -> None:
    """At least 99 % over half an hour."""
    begun: list[float] = []
    others_go(SlidingWindow(30, 60.0), 0.0, 1800.0, begun)
    assert len(begun) >= 0.99 * 900


@given(latencies, st.integers(0, 12), st.integers(1, 40))
def test_a_wait_for_room_ends_when_there_is_room(ends: list[float], reserve: int, limit: int) -> None:
    """Not early, which would be a busy loop, and not late."""
    window, now = SlidingWindow(limit, 60.0), 0.0
    for gap in ends[:limit]:
        now += gap
        window.begin()
        window.end(now)
    wait = window.wait_time_after_reserve(now, reserve)
    assert (wait == 0.0) == (window.available_after_reserve(now, reserve) > 0)
    assert window.available_after_reserve(now + wait + 1e-6, reserve) > 0
