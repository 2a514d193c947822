"""How many messages an API key may hand in: by the minute and by the day of the clock (UTC). Pure; the store keeps it.

Windows begin with the clock's minute and at midnight, so that every process means the same one. One that begins a
little later is what a process with another clock has begun: it is gone on with, so that no window is counted twice.
"""

from collections.abc import Sequence

from app.frozen import frozen

MINUTE, DAY = 60, 86_400  # seconds


@frozen
class Usage:
    """What was handed in within the minute and the day that begin at these moments (epoch seconds)."""

    minute: int
    minute_used: int
    day: int
    day_used: int

    def at(self, now: float) -> "Usage":
        """As it counts at `now` (epoch seconds): a window that is over begins anew."""
        minute, day = _begun(self.minute, now, MINUTE), _begun(self.day, now, DAY)
        return Usage(
            minute,
            self.minute_used if minute == self.minute else 0,
            day,
            self.day_used if day == self.day else 0,
        )

    def joined(self, other: "Usage") -> "Usage":
        """What is known from both: of each window the later one, and the most that was used in it."""
        minute, minute_used = max((self.minute, self.minute_used), (other.minute, other.minute_used))
        return Usage(minute, minute_used, *max((self.day, self.day_used), (other.day, other.day_used)))

    def plus(self, count: int) -> "Usage":
        """With so many messages more."""
        return Usage(self.minute, self.minute_used + count, self.day, self.day_used + count)


UNUSED = Usage(0, 0, 0, 0)


@frozen
class Window:
    """A time in which at most `limit` messages are taken. `start` and `end` are epoch seconds."""

    seconds: int
    start: int
    limit: int
    used: int

    @property
    def end(self) -> int:
        """When the next one begins."""
        return self.start + self.seconds

    @property
    def remaining(self) -> int:
        """Messages that are still taken. Never less than none: a budget may have been made smaller since."""
        return max(0, self.limit - self.used)


@frozen
class Budget:
    """Messages that are taken in a minute and in a day; None: without end. One of them is a number."""

    per_minute: int | None
    per_day: int | None

    def tightest(self, usage: Usage) -> Window:
        """The window with the fewest messages left; of two with as few, the one that lasts longer."""
        return min(self._windows(usage), key=lambda window: (window.remaining, -window.seconds))

    def takes(self, usage: Usage, count: int) -> bool:
        """Whether so many messages more are taken."""
        return self.tightest(usage).remaining >= count

    def _windows(self, usage: Usage) -> Sequence[Window]:
        both = (
            (MINUTE, usage.minute, self.per_minute, usage.minute_used),
            (DAY, usage.day, self.per_day, usage.day_used),
        )
        return [Window(seconds, start, limit, used) for seconds, start, limit, used in both if limit is not None]


def _begun(start: int, now: float, seconds: int) -> int:
    """When the window began that counts at `now`."""
    current = int(now // seconds) * seconds
    return start if current <= start <= current + seconds else current
