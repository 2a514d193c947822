"""Estimate of a waiting message's send time, from Exchange's limits and recent sends. Pure.

With a backlog these limits decide the rate. Later mail of a higher lane is sent first and delays the message further.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.mail.office365.limits import MailboxLimits
from app.mail.times import DAY, MINUTE

_MAX_EXACT_MAILBOXES = 8  # more are estimated by their rate alone
_MAX_EXACT_MINUTES = 10  # a longer backlog is estimated by the rate alone


@dataclass(frozen=True, slots=True)
class MailboxCapacity:
    """Capacity of one mailbox: its limits, when it opens, and its recent sends. Times are epoch seconds."""

    capacity: MailboxLimits
    opens_at: float  # now, or the end of its pause
    sent: Sequence[float]  # times of the messages of the last minute
    recipients: int = 0  # in the last day


def estimate_send_time(ahead: int, mailboxes: Sequence[MailboxCapacity], now: float) -> float | None:
    """Return the send time of a message with `ahead` messages before it; None if no mailbox is known to open."""
    if not mailboxes:
        return None
    a_minute = sum(mailbox.capacity.messages_per_minute for mailbox in mailboxes)
    if len(mailboxes) > _MAX_EXACT_MAILBOXES or ahead >= _MAX_EXACT_MINUTES * a_minute:
        soonest = max(now, min(mailbox.opens_at for mailbox in mailboxes)) + ahead / a_minute * MINUTE
    else:
        soonest = _slot(ahead, mailboxes, now)
    return max(soonest, _day(ahead, mailboxes, now))


def _slot(ahead: int, mailboxes: Sequence[MailboxCapacity], now: float) -> float:
    """Return the time of the message's slot; each slot of each mailbox is free again a minute after its use."""
    free = [slot for mailbox in mailboxes for slot in _slots(mailbox, now)]
    slots = sorted((at + again * MINUTE, count) for at, count in free for again in range(_MAX_EXACT_MINUTES + 1))
    upto = accumulate(count for _, count in slots)
    return next((at for (at, _), before in zip(slots, upto, strict=True) if ahead < before), slots[-1][0])


def _slots(mailbox: MailboxCapacity, now: float) -> list[tuple[float, int]]:
    """Return (time, number of slots free at that time): the unused ones together, each used one separately."""
    opens = max(now, mailbox.opens_at)
    used = sorted(max(min(at, now) + MINUTE, opens) for at in mailbox.sent)[-mailbox.capacity.messages_per_minute :]
    return [(opens, mailbox.capacity.messages_per_minute - len(used)), *((at, 1) for at in used)]


def _day(ahead: int, mailboxes: Sequence[MailboxCapacity], now: float) -> float:
    """Return the earliest time by the daily limits: messages above the remaining ones are sent at the daily rate."""
    a_day = sum(mailbox.capacity.recipients_per_day for mailbox in mailboxes)
    left = sum(max(0, mailbox.capacity.recipients_per_day - mailbox.recipients) for mailbox in mailboxes)
    return now if ahead < left else now + (ahead - left) / a_day * DAY
