"""Limits on what an API key may submit in a minute and in a day (UTC): messages, recipients and bytes. Pure; the store
keeps the counts.

Windows begin with the clock's minute and at midnight, so that every process means the same one. One that begins a
little later is what a process with another clock has begun: it is gone on with, so that no window is counted twice.
"""

from collections.abc import Sequence
from enum import StrEnum

from app.frozen import frozen
from app.mail.time_units import DAY, MINUTE


class Unit(StrEnum):
    """The quantity that a window limits."""

    MESSAGES = "messages"
    RECIPIENTS = "recipients"
    BYTES = "bytes"


@frozen
class Amount:
    """The size of a submission, or the sum of several: `bytes` are those of the composed messages."""

    messages: int = 0
    recipients: int = 0
    bytes: int = 0

    def of(self, unit: Unit) -> int:
        """The part in this unit."""
        return {Unit.MESSAGES: self.messages, Unit.RECIPIENTS: self.recipients, Unit.BYTES: self.bytes}[unit]

    def plus(self, other: "Amount") -> "Amount":
        """The sum."""
        return Amount(self.messages + other.messages, self.recipients + other.recipients, self.bytes + other.bytes)

    def joined(self, other: "Amount") -> "Amount":
        """The larger of each part."""
        return Amount(
            max(self.messages, other.messages), max(self.recipients, other.recipients), max(self.bytes, other.bytes)
        )


NOTHING = Amount()


@frozen
class Usage:
    """The amounts submitted within the minute and the day that begin at these moments (epoch seconds)."""

    minute: int
    in_minute: Amount
    day: int
    in_day: Amount

    @property
    def minute_used(self) -> int:
        """Messages of the minute."""
        return self.in_minute.messages

    @property
    def day_used(self) -> int:
        """Messages of the day."""
        return self.in_day.messages

    def at(self, now: float) -> "Usage":
        """As it counts at `now` (epoch seconds): a window that is over begins anew."""
        minute, day = _begun(self.minute, now, MINUTE), _begun(self.day, now, DAY)
        return Usage(
            minute,
            self.in_minute if minute == self.minute else NOTHING,
            day,
            self.in_day if day == self.day else NOTHING,
        )

    def joined(self, other: "Usage") -> "Usage":
        """The union of two reports: of each window the later one, and the most that was used in it."""
        return Usage(
            *_later((self.minute, self.in_minute), (other.minute, other.in_minute)),
            *_later((self.day, self.in_day), (other.day, other.in_day)),
        )

    def plus(self, amount: Amount) -> "Usage":
        """With this amount added to both windows."""
        return Usage(self.minute, self.in_minute.plus(amount), self.day, self.in_day.plus(amount))


UNUSED = Usage(0, NOTHING, 0, NOTHING)


@frozen
class Window:
    """A time in which at most `limit` of a unit is taken. `start` and `end` are epoch seconds."""

    seconds: int
    start: int
    limit: int
    used: int
    unit: Unit = Unit.MESSAGES

    @property
    def end(self) -> int:
        """When the next one begins."""
        return self.start + self.seconds

    @property
    def remaining(self) -> int:
        """What is still taken. Never less than none: a budget may have been made smaller since."""
        return max(0, self.limit - self.used)


@frozen
class RateLimit:
    """The most that is taken in a minute and in a day, of each unit; None: without end. One of them is a number."""

    per_minute: int | None  # messages
    per_day: int | None
    recipients_per_minute: int | None = None
    recipients_per_day: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None

    def tightest(self, usage: Usage) -> Window | None:
        """The window with the fewest messages left; of two with as few, the one that lasts longer.

        None: messages are not limited.
        """
        windows = [window for window in self._windows(usage) if window.unit is Unit.MESSAGES]
        return min(windows, key=lambda window: (window.remaining, -window.seconds), default=None)

    def exceeded(self, usage: Usage, amount: Amount) -> Window | None:
        """The window in which this amount has no room; None: it is taken.

        Of several: one that could never hold it, else the one that ends last, so that a caller waits once.
        """
        full = [window for window in self._windows(usage) if amount.of(window.unit) > window.remaining]
        never = [window for window in full if amount.of(window.unit) > window.limit]
        return min(never or full, key=lambda window: -window.seconds, default=None)

    def takes(self, usage: Usage, amount: Amount) -> bool:
        """Whether this amount has room in every window."""
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


def _later(one: tuple[int, Amount], other: tuple[int, Amount]) -> tuple[int, Amount]:
    """The window that began later; if it is the same one, with the larger amounts."""
    if one[0] == other[0]:
        return one[0], one[1].joined(other[1])
    return max(one, other, key=lambda window: window[0])


def _begun(start: int, now: float, seconds: int) -> int:
    """When the window began that counts at `now`."""
    current = int(now // seconds) * seconds
    return start if current <= start <= current + seconds else current
