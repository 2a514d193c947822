"""When a waiting message will go, as far as it can be known: arithmetic over the limits and what was sent. Pure.

It follows from Exchange's limits alone: with a backlog, the pace is theirs. What a caller reads is an estimate; mail
of a higher lane that comes later goes first, and makes it later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.mail.office365.limits import CONNECTIONS
from app.mail.time_units import DAY, MINUTE

_STEP_BY_STEP = 8  # mailboxes up to which each slot is looked at
_DEEP = 10  # minutes of backlog from which the pace alone tells it


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """What one mailbox may send."""

    messages_per_minute: int
    recipients_per_day: int
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class MailboxCapacity:
    """One mailbox of a pool: what it may send, from when on, and what it sent. Times are epoch seconds."""

    capacity: MailboxLimits
    opens_at: float  # now, or when its rest ends
    sent: Sequence[float]  # the moments of the last minute's messages
    recipients: int = 0  # of the last day


def estimate_send_time(ahead: int, ways: Sequence[MailboxCapacity], now: float) -> float | None:
    """When a message goes that has so many before it; None when no mailbox is known to open again."""
    if not ways:
        return None
    a_minute = sum(way.capacity.messages_per_minute for way in ways)
    if len(ways) > _STEP_BY_STEP or ahead >= _DEEP * a_minute:
        soonest = max(now, min(way.opens_at for way in ways)) + ahead / a_minute * MINUTE
    else:
        soonest = _slot(ahead, ways, now)
    return max(soonest, _day(ahead, ways, now))


def _slot(ahead: int, ways: Sequence[MailboxCapacity], now: float) -> float:
    """Every slot of every mailbox comes back a minute after it was used: the one that is the message's turn."""
    free = [slot for way in ways for slot in _slots(way, now)]
    later = sorted((at + again * MINUTE, count) for at, count in free for again in range(_DEEP + 1))
    upto = accumulate(count for _, count in later)
    return next((at for (at, _), before in zip(later, upto, strict=True) if ahead < before), later[-1][0])


def _slots(way: MailboxCapacity, now: float) -> list[tuple[float, int]]:
    """When so many of its slots are free: those not used of late all at once, each of the others by itself."""
    opens = max(now, way.opens_at)
    used = sorted(max(min(at, now) + MINUTE, opens) for at in way.sent)[-way.capacity.messages_per_minute :]
    return [(opens, way.capacity.messages_per_minute - len(used)), *((at, 1) for at in used)]


def _day(ahead: int, ways: Sequence[MailboxCapacity], now: float) -> float:
    """Beyond what the day still grants, at the pace of whole days."""
    a_day = sum(way.capacity.recipients_per_day for way in ways)
    left = sum(max(0, way.capacity.recipients_per_day - way.recipients) for way in ways)
    return now if ahead < left else now + (ahead - left) / a_day * DAY
