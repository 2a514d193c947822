"""Sending limits of Exchange Online and their usage per mailbox. Times are epoch seconds of the clock.

Rule 1: a transaction uses a sending slot from MAIL until it ends, and for `slot_linger` seconds more.
Rule 2: every excess of a limit is recorded as a violation, even if the message is accepted.
Rule 3: only accepted messages count for the limits per minute and day.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.mail.times import DAY, MINUTE


class OverMinute(StrEnum):
    """Response to a message beyond `messages_per_minute`. Microsoft's documentation is inconsistent about it."""

    COUNT = "count"  # accepted, and recorded as a violation
    DELAY = "delay"  # accepted when the window has capacity
    REFUSE = "432"  # refused with 432


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Limits with the defaults of Exchange Online. Sizes are in bytes, times in seconds of the clock."""

    connections_sending: int = CONNECTIONS
    slot_linger: float = 0.0  # delay until a slot is free after its transaction
    messages_per_minute: int = MESSAGES_PER_MINUTE
    minute: float = float(MINUTE)  # length of the sliding window
    over_minute: str = OverMinute.COUNT
    recipients_per_day: int = RECIPIENTS_PER_DAY
    recipients_per_message: int = 500
    message_size: int = 35 * 1024 * 1024  # the mailbox's MaxSendSize: 554 after the content
    advertised_size: int = 157_286_400  # the SIZE extension: 552
    idle: float = 300.0
    session: float = 600.0
    tarpit: float = 5.0  # before the reply to a failed AUTH and to an unknown verb


@dataclass(slots=True)
class SendingWindow:
    """Usage of the limits by one mailbox."""

    sending: set[int] = field(default_factory=set)  # slots in use
    lingering: deque[float] = field(default_factory=deque)  # times at which ended slots become free
    minute: deque[float] = field(default_factory=deque)  # times of accepted messages
    day: deque[tuple[float, int]] = field(default_factory=deque)  # time and recipients of accepted messages
    recipients: int = 0  # sum of the recipients in `day`


class UsageTracker:
    """Usage of the limits by all mailboxes."""

    def __init__(self, limits: ExchangeLimits) -> None:
        self.limits = limits
        self._usage: defaultdict[str, SendingWindow] = defaultdict(SendingWindow)
        self._slots = count(1)

    def take_slot(self, mailbox: str, now: float) -> int | None:
        """Take a sending slot, freed with `free_slot`. Return None if all slots of the mailbox are in use."""
        usage = self._usage[mailbox]
        while usage.lingering and usage.lingering[0] <= now:
            usage.lingering.popleft()
        if len(usage.sending) + len(usage.lingering) >= self.limits.connections_sending:
            return None
        slot = next(self._slots)
        usage.sending.add(slot)
        return slot

    def free_slot(self, mailbox: str, slot: int, now: float) -> None:
        """Free a slot at the end of its transaction."""
        usage = self._usage[mailbox]
        if slot in usage.sending:
            usage.sending.remove(slot)
            if self.limits.slot_linger:
                usage.lingering.append(now + self.limits.slot_linger)

    def minute_free_at(self, mailbox: str, now: float) -> float:
        """Return the time at which the minute window accepts the next message; `now` if it has capacity."""
        sent = self._usage[mailbox].minute
        while sent and sent[0] <= now - self.limits.minute:
            sent.popleft()
        over = len(sent) - self.limits.messages_per_minute
        return sent[over] + self.limits.minute if over >= 0 else now

    def has_day_capacity(self, mailbox: str, recipients: int, now: float) -> bool:
        """Return True if the rolling 24 hours have capacity for `recipients`."""
        usage = self._usage[mailbox]
        while usage.day and usage.day[0][0] <= now - DAY:
            usage.recipients -= usage.day.popleft()[1]
        return usage.recipients + recipients <= self.limits.recipients_per_day

    def count(self, mailbox: str, recipients: int, now: float) -> None:
        """Count an accepted message."""
        usage = self._usage[mailbox]
        usage.minute.append(now)
        usage.day.append((now, recipients))
        usage.recipients += recipients

    def clear(self) -> None:
        """Empty the minute and day windows. Slots in use stay in use."""
        for usage in self._usage.values():
            usage.minute.clear()
            usage.day.clear()
            usage.recipients = 0
