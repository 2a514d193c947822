"""A sliding window: at most so much in any period, as the upstream may count it. No clock of its own, no I/O.

The upstream counts a message at some moment between the start of its transaction and our reading of the reply.
So one that is under way counts, and one that has ended counts from its end: then no window of the upstream can
hold more than ours, whatever the latency was.
"""

from collections import deque

_STEPS = 1500  # entries closer than period / _STEPS are merged (into the later one), so memory is bounded


class Window:
    """At most `limit` (messages, recipients) in any `period` seconds. Times are of one monotonic clock, in seconds."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._grain = period / _STEPS
        self._ended: deque[tuple[float, int]] = deque()
        self._counted = 0  # ended and under way together

    def room(self, now: float) -> int:
        """How much may begin now; negative when more was begun than fits."""
        self._forget(now)
        return self.limit - self._counted

    def wait(self, now: float, weight: int = 1) -> float:
        """Seconds until `weight` more could begin if nothing else begins or ends; 0 for now.

        What is under way leaves no later than a period after now, so the answer is never longer than the period.
        """
        missing = min(weight, self.limit) - self.room(now)
        if missing <= 0:
            return 0.0
        for ended, freed in self._ended:
            missing -= freed
            if missing <= 0:
                return ended + self.period - now
        return self.period

    def begin(self, weight: int = 1) -> None:
        """So much is under way from now on."""
        self._counted += weight

    def cancel(self, weight: int = 1) -> None:
        """It was not begun after all: the upstream has seen nothing of it."""
        self._counted -= weight

    def end(self, now: float, weight: int = 1) -> None:
        """What was under way has ended."""
        if self._ended and now - self._ended[-1][0] < self._grain:
            weight += self._ended.pop()[1]
        self._ended.append((now, weight))

    def restore(self, at: float, weight: int = 1) -> None:
        """Count one that ended at `at`, before this process began. Call in the order of time."""
        self._counted += weight
        self.end(at, weight)

    def _forget(self, now: float) -> None:
        horizon = now - self.period
        while self._ended and self._ended[0][0] <= horizon:
            self._counted -= self._ended.popleft()[1]
