"""Rate limits of an API key: messages, recipients and bytes in a minute and in a day (UTC). Pure; the store counts.

Windows begin at full minutes and at midnight, so that all processes use the same ones. A window that starts slightly
in the future was written by a process with another clock; it is continued, so that no window is counted twice.
"""

from collections.abc import Sequence
from enum import StrEnum

from app.frozen import frozen
from app.mail.times import DAY, MINUTE


class Unit(StrEnum):
    """Unit of a limit."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    BYTES = "bytes"


@frozen
class Amount:
    """Size of a submission, or the sum of several. `bytes` are those of the composed messages."""

    messages: int = 0
    recipients: int = 0
    bytes: int = 0

    def of(self, unit: Unit) -> int:
        """Return the amount in this unit."""
        return {Unit.MESSAGES: self.messages, Unit.RECIPIENTS: self.recipients, Unit.BYTES: self.bytes}[unit]

    def plus(self, other: "Amount") -> "Amount":
        """Return the sum."""
        return Amount(self.messages + other.messages, self.recipients + other.recipients, self.bytes + other.bytes)

    def joined(self, other: "Amount") -> "Amount":
        """Return the maximum of each unit."""
        return Amount(
            max(self.messages, other.messages), max(self.recipients, other.recipients), max(self.bytes, other.bytes)
        )


NOTHING = Amount()


@frozen
class Usage:
    """Amounts submitted in the minute and the day that begin at these times (epoch seconds)."""

    minute: int
    in_minute: Amount
    day: int
    in_day: Amount

    @property
    def minute_used(self) -> int:
        """Messages in the minute."""
        return self.in_minute.messages

    @property
    def day_used(self) -> int:
        """Messages in the day."""
        return self.in_day.messages

    def at(self, now: float) -> "Usage":
        """Return the usage at `now` (epoch seconds): a window that has ended restarts at zero."""
        minute, day = _window_start(self.minute, now, MINUTE), _window_start(self.day, now, DAY)
        return Usage(
            minute,
            self.in_minute if minute == self.minute else NOTHING,
            day,
            self.in_day if day == self.day else NOTHING,
        )

    def joined(self, other: "Usage") -> "Usage":
        """Return the union of two reports: for each window the later one, with the larger amounts."""
        return Usage(
            *_merge_windows((self.minute, self.in_minute), (other.minute, other.in_minute)),
            *_merge_windows((self.day, self.in_day), (other.day, other.in_day)),
        )

    def plus(self, amount: Amount) -> "Usage":
        """Return the usage with this amount added to both windows."""
        return Usage(self.minute, self.in_minute.plus(amount), self.day, self.in_day.plus(amount))


UNUSED = Usage(0, NOTHING, 0, NOTHING)


@frozen
class Window:
    """Time window with a limit of one unit. `start` and `end` are epoch seconds."""

    seconds: int
    start: int
    limit: int
    used: int
    unit: Unit = Unit.MESSAGES

    @property
    def end(self) -> int:
        """Start of the next window."""
        return self.start + self.seconds

    @property
    def remaining(self) -> int:
        """Remaining amount, at least 0: the limit may have been lowered since."""
        return max(0, self.limit - self.used)


@frozen
class RateLimit:
    """Limits per minute and day in each unit; None is unlimited. At least one is a number."""

    per_minute: int | None  # messages
    per_day: int | None
    recipients_per_minute: int | None = None
    recipients_per_day: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None

    def tightest(self, usage: Usage) -> Window | None:
        """Return the window with the fewest remaining messages (of equals the longer), or None without a limit."""
        windows = [window for window in self._windows(usage) if window.unit is Unit.MESSAGES]
        return min(windows, key=lambda window: (window.remaining, -window.seconds), default=None)

    def exceeded(self, usage: Usage, amount: Amount) -> Window | None:
        """Return the window that the amount would exceed, or None.

        Of several: a window whose limit is smaller than the amount, else the one that ends last.
        """
        full = [window for window in self._windows(usage) if amount.of(window.unit) > window.remaining]
        never = [window for window in full if amount.of(window.unit) > window.limit]
        return min(never or full, key=lambda window: -window.seconds, default=None)

    def takes(self, usage: Usage, amount: Amount) -> bool:
        """Return True if the amount fits into every window."""
        return self.exceeded(usage, amount) is None

    def _windows(self, usage: Usage) -> Sequence[Window]:
        limits = (
            (Unit.MESSAGES, self.per_minute, self.per_day),
            (Unit.RECIPIENTS, self.recipients_per_minute, self.recipients_per_day),
            (Unit.BYTES, self.bytes_per_minute, self.bytes_per_day),
        )
        return [
            Window(seconds, start, limit, used.of(unit), unit)
            for unit, per_minute, per_day in limits
            for seconds, start, limit, used in (
                (MINUTE, usage.minute, per_minute, usage.in_minute),
                (DAY, usage.day, per_day, usage.in_day),
            )
            if limit is not None
        ]


def _merge_windows(first: tuple[int, Amount], second: tuple[int, Amount]) -> tuple[int, Amount]:
    """Return the window that began later; of the same window, the larger amounts."""
    if first[0] == second[0]:
        return first[0], first[1].joined(second[1])
    return max(first, second, key=lambda window: window[0])


def _window_start(start: int, now: float, seconds: int) -> int:
    """Return the start of the window that counts at `now`."""
    current = int(now // seconds) * seconds
    return start if current <= start <= current + seconds else current
