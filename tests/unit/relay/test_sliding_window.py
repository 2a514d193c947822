"""The sliding window: no window of the upstream, wherever it begins, holds more than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from app.relay.sliding_window import SlidingWindow

latencies = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=120)


@given(latencies, st.integers(1, 10), st.randoms(use_true_random=False))
def test_no_window_of_the_upstream_holds_more(waits: list[float], limit: int, chance: object) -> None:
    """The upstream may count a message at any moment between its start and our reading of the reply."""
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
    """With no latency exactly the limit goes in each period: thirty at once, then thirty more a minute later."""
    window, now = SlidingWindow(30, 60.0), 0.0
    begun: list[float] = []
    while len(begun) < 300:
        now += window.wait_time(now)
        window.begin()
        window.end(now)
        begun.append(now)
    assert begun[-1] == 9 * 60.0


def test_what_is_under_way_counts_until_it_has_ended() -> None:
    """A message that takes two minutes blocks its place for three."""
    window = SlidingWindow(1, 60.0)
    window.begin()
    assert window.available(120.0) == 0
    window.end(120.0)
    assert window.wait_time(130.0) == 50.0
    assert window.wait_time(180.0) == 0.0


def test_a_weight_beyond_the_limit_waits_for_an_empty_window() -> None:
    """A message to more recipients than a day grants goes alone rather than never."""
    window = SlidingWindow(10, 60.0)
    window.begin(3)
    window.end(0.0, 3)
    assert window.wait_time(1.0, weight=50) == 59.0


def test_what_was_not_offered_frees_its_place() -> None:
    """Claimed and given back: the upstream has seen nothing."""
    window = SlidingWindow(1, 60.0)
    window.begin()
    window.cancel()
    assert window.wait_time(0.0) == 0.0


def test_memory_is_bounded_by_merging_what_is_close() -> None:
    """A million messages leave a small trace, merged into the later moment so that the limit still holds."""
    window = SlidingWindow(1_000_000, 60.0)
    for number in range(100_000):
        window.begin()
        window.end(number * 0.0005)
    assert len(window._ended) <= 1501
    assert window.available(50.0) == 900_000


KEPT = 5
INTERVAL = 2.0  # 30 a minute


def others_go(window: SlidingWindow, now: float, until: float, begun: list[float]) -> None:
    """Whoever is not urgent begins whenever it may."""
    while now < until:
        for _ in range(window.available_after_reserve(now, KEPT)):
            window.begin()
            window.end(now)
            begun.append(now)
        now += max(window.wait_time_after_reserve(now, KEPT), 1e-6)


@given(st.floats(0.0, 300.0))
def test_what_is_urgent_never_waits_long_behind_the_others(moment: float) -> None:
    """Whenever five come at once, the k-th begins within k intervals and a tenth, and the others have used the rest."""
    window = SlidingWindow(30, 60.0)
    others_go(window, 0.0, moment, [])
    waits = [window.wait_time(moment, count) for count in range(1, KEPT + 1)]
    assert all(wait <= (count + 0.1) * INTERVAL + 1e-3 for count, wait in enumerate(waits, 1))


def test_nothing_of_the_limit_is_lost_by_what_is_kept() -> None:
    """What is kept free is used a moment later: over half an hour, at least 99 %."""
    begun: list[float] = []
    others_go(SlidingWindow(30, 60.0), 0.0, 1800.0, begun)
    assert len(begun) >= 0.99 * 900


@given(latencies, st.integers(0, 12), st.integers(1, 40))
def test_a_wait_for_spare_ends_with_spare(ends: list[float], kept: int, limit: int) -> None:
    """Neither too early, which would be a loop without rest, nor too late."""
    window, now = SlidingWindow(limit, 60.0), 0.0
    for gap in ends[:limit]:
        now += gap
        window.begin()
        window.end(now)
    wait = window.wait_time_after_reserve(now, kept)
    assert (wait == 0.0) == (window.available_after_reserve(now, kept) > 0)
    assert window.available_after_reserve(now + wait + 1e-6, kept) > 0
