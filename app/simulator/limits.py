"""Exchange Online's sending limits and the books that count against them. Times are the clock's epoch seconds.

Rule 1: a submission counts as sending from MAIL until its reply to the final dot (or its end), plus `slot_linger`.
Rule 2: what is over a limit is written down as a violation at once, whatever is answered for it.
Rule 3: only accepted messages count against the minute and the day.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from app.mail.office365.limits import CONNECTIONS, MESSAGES_PER_MINUTE, RECIPIENTS_PER_DAY
from app.mail.time_units import DAY, MINUTE


class OverMinute(StrEnum):
    """What happens to a message beyond `messages_per_minute`. Microsoft's own pages disagree."""

    COUNT = "count"  # accepted, and written down as a violation
    DELAY = "delay"  # accepted when the window has room again
    REFUSE = "432"  # answered 432


@dataclass(frozen=True, slots=True)
class Limits:
    """All that can be set. Sizes are octets, times seconds of the clock; the defaults are Exchange Online's."""

    connections_sending: int = CONNECTIONS
    slot_linger: float = 0.0  # a slot is free only so long after its submission ended
    messages_per_minute: int = MESSAGES_PER_MINUTE
    minute: float = float(MINUTE)  # the length of that sliding window
    over_minute: str = OverMinute.COUNT
    recipients_per_day: int = RECIPIENTS_PER_DAY
    recipients_per_message: int = 500
    message_size: int = 35 * 1024 * 1024  # the mailbox's MaxSendSize: 554 after the content
    advertised_size: int = 157_286_400  # the SIZE extension: 552
    idle: float = 300.0
    session: float = 600.0
    tarpit: float = 5.0  # before the reply to a failed AUTH and to an unknown verb


@dataclass(slots=True)
class MailboxUsage:
    """What one mailbox has used."""

    sending: set[int] = field(default_factory=set)  # slots in use
    lingering: deque[float] = field(default_factory=deque)  # when slots that ended become free
    minute: deque[float] = field(default_factory=deque)  # when messages were accepted
    day: deque[tuple[float, int]] = field(default_factory=deque)  # when, recipients
    recipients: int = 0  # the sum of `day`


class UsageLedger:
    """The books of every mailbox."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._of: defaultdict[str, MailboxUsage] = defaultdict(MailboxUsage)
        self._slots = count(1)

    def take_slot(self, mailbox: str, now: float) -> int | None:
        """A sending slot, to be freed with `free_slot`; None if all of the mailbox's are in use."""
        book = self._of[mailbox]
        while book.lingering and book.lingering[0] <= now:
            book.lingering.popleft()
        if len(book.sending) + len(book.lingering) >= self.limits.connections_sending:
            return None
        slot = next(self._slots)
        book.sending.add(slot)
        return slot

    def free_slot(self, mailbox: str, slot: int, now: float) -> None:
        """The submission that held the slot has ended."""
        book = self._of[mailbox]
        if slot in book.sending:
            book.sending.remove(slot)
            if self.limits.slot_linger:
                book.lingering.append(now + self.limits.slot_linger)

    def minute_free_at(self, mailbox: str, now: float) -> float:
        """When the next message fits into the minute: `now` if at once."""
        sent = self._of[mailbox].minute
        while sent and sent[0] <= now - self.limits.minute:
            sent.popleft()
        over = len(sent) - self.limits.messages_per_minute
        return sent[over] + self.limits.minute if over >= 0 else now

    def day_has_room(self, mailbox: str, recipients: int, now: float) -> bool:
        """True if so many more recipients fit into the rolling 24 hours."""
        book = self._of[mailbox]
        while book.day and book.day[0][0] <= now - DAY:
            book.recipients -= book.day.popleft()[1]
        return book.recipients + recipients <= self.limits.recipients_per_day

    def count(self, mailbox: str, recipients: int, now: float) -> None:
        """A message was accepted."""
        book = self._of[mailbox]
        book.minute.append(now)
        book.day.append((now, recipients))
        book.recipients += recipients

    def forget(self) -> None:
        """Close the minute and the day; slots in use stay in use."""
        for book in self._of.values():
            book.minute.clear()
            book.day.clear()
            book.recipients = 0
