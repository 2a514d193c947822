"""Sliding-window limiter: at most `limit` in any period, as the upstream may count it. Pure, without a clock or I/O.

The upstream counts a message at some moment between the start of its transaction and our reading of the reply.
A message under way therefore counts, and a finished one counts from its end: no window of the upstream can contain
more than ours, whatever the latency.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

_INTERVAL_TOLERANCE = 0.1  # of an interval, so that a message that ends slightly late does not block the lower lanes
_ENTRIES_PER_PERIOD = 1500  # entries that are closer than this are merged into the later one, so memory is bounded


class SlidingWindow:
    """Limiter to `limit` messages or recipients in any `period` seconds. Times are of one monotonic clock, in seconds.

    `reserve` is the part of the limit that its user reserves for urgent mail; it is only stored here.
    """

    def __init__(self, limit: int, period: float, reserve: int = 0) -> None:
        self.limit = limit
        self.period = period
        self.reserve = reserve
        self._interval = period / limit
        self._resolution = period / _ENTRIES_PER_PERIOD
        self._ended: deque[tuple[float, int]] = deque()
        self._counted = 0  # ended and under way together

    def available(self, now: float) -> int:
        """Return how much may begin now; negative if more was begun than the limit admits."""
        self._remove_old(now)
        return self.limit - self._counted

    def wait_time(self, now: float, weight: int = 1) -> float:
        """Return the seconds until `weight` more may begin if nothing else begins or ends; 0 for now.

        Messages under way leave the window no later than a period after now, so the result is at most the period.
        """
        missing = min(weight, self.limit) - self.available(now)
        if missing <= 0:
            return 0.0
        for ended, freed in self._ended:
            missing -= freed
            if missing <= 0:
                return ended + self.period - now
        return self.period

    def available_after_reserve(self, now: float, reserve: int) -> int:
        """Return how much may begin now so that `reserve` more, whenever they arrive, would not wait for long.

        The k-th of them could begin within k intervals of period / limit, as if the limit were spread evenly. The total
        rate is not reduced: capacity that is reserved now is used a moment later.
        """
        room = self.available(now)
        if room <= 0:
            return 0
        later = list(islice(self._frees(now), reserve))
        short = next(
            free
            for free in range(reserve + 1)
            if all(wait <= self._even(free + k) for k, wait in enumerate(later[: reserve - free], 1))
        )
        return max(0, room - short)

    def wait_time_after_reserve(self, now: float, reserve: int) -> float:
        """Return the seconds until `available_after_reserve` is positive if nothing else begins or ends; 0 for now."""
        frees = chain(repeat(0.0, max(0, self.available(now))), self._frees(now))
        first, *later = islice(frees, reserve + 1)
        return max(first, *(wait - self._even(k) for k, wait in enumerate(later, 1)), 0.0)

    def _frees(self, now: float) -> Iterator[float]:
        """Yield the seconds until each further unit may begin; those of messages under way last."""
        for ended, weight in self._ended:
            yield from repeat(ended + self.period - now, weight)
        yield from repeat(self.period)

    def _even(self, count: int) -> float:
        return (count + _INTERVAL_TOLERANCE) * self._interval

    def begin(self, weight: int = 1) -> None:
        """Count `weight` as under way."""
        self._counted += weight

    def cancel(self, weight: int = 1) -> None:
        """Undo `begin`: the upstream has seen nothing of it."""
        self._counted -= weight

    def end(self, now: float, weight: int = 1) -> None:
        """Count `weight` from its end instead of as under way."""
        if self._ended and now - self._ended[-1][0] < self._resolution:
            weight += self._ended.pop()[1]
        self._ended.append((now, weight))

    def restore(self, ended: Iterable[tuple[float, int]]) -> None:
        """Count (time, weight) pairs that ended before this process started. Call before the first `begin`."""
        for at, weight in sorted(ended):
            self._counted += weight
            self.end(at, weight)

    def _remove_old(self, now: float) -> None:
        horizon = now - self.period
        while self._ended and self._ended[0][0] <= horizon:
            self._counted -= self._ended.popleft()[1]
