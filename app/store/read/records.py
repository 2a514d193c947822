"""Arguments and results of the queries: selection and page of messages, counts, send history, queue position, backlog.

The values contain no SQL. Times are epoch seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.message import Lane
from app.mail.suppression import Origin
from app.store.mailboxes.records import MailboxRecord
from app.store.records import FIRST_ID, LAST_ID, Email

SCAN_LIMIT = 10_000  # index entries read for one page, by default


@dataclass(frozen=True, slots=True)
class Selection:
    """Filter of a list: all conditions must hold. None: no condition."""

    key_id: UUID | None = None
    state: MessageState | None = None
    last_event: LastEvent | None = None
    recipient: str | None = None  # addr-spec in to, cc or bcc; case-insensitive
    recipient_prefix: str | None = None  # its first characters; case-insensitive
    message_id: str | None = None  # without angle brackets
    sender: str | None = None  # addr-spec; case-insensitive
    tag: tuple[str, str | None] | None = None  # name and value; value None: any
    lane: Lane | None = None
    subject: str | None = None  # substring; case-insensitive
    start: UUID = FIRST_ID  # first id, inclusive
    end: UUID = LAST_ID  # last id, exclusive
    scan_limit: int = SCAN_LIMIT
    held: bool = True  # False: without held messages, as operators see an event


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages without their attempts, the newest first. `next_id`: more may follow after it; None: the end.

    A page may be short or empty and still have a `next_id`: the scan ended at its limit.
    """

    emails: tuple[Email, ...]
    next_id: UUID | None


@dataclass(frozen=True, slots=True)
class SendHistory:
    """Sends of a mailbox: messages by minute in the last hour, recipients by hour in the last day. The oldest first."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]


class BoundedCount(NamedTuple):
    """Number of messages. `more`: there may be more, because the count ended at its limit."""

    number: int
    more: bool


@dataclass(frozen=True, slots=True)
class NumbersSince:
    """Numbers of the emails that were accepted since a time: of the ended ones exact, by event."""

    since: float  # epoch seconds
    ended: Mapping[LastEvent, int]
    unfinished: BoundedCount

    @property
    def accepted(self) -> BoundedCount:
        """Number of all."""
        return BoundedCount(sum(self.ended.values()) + self.unfinished.number, self.unfinished.more)


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Queue position of a message, and the mailboxes of its pool with their recent sends."""

    ahead: int | None  # messages that go before it; None: it is not due yet
    mailboxes: tuple[MailboxRecord, ...]
    sent: Mapping[str, Sequence[float]]  # by mailbox: send times in the last minute
    recipients: Mapping[str, int]  # by mailbox: recipients of the last day; 0 unless `ahead` is estimated


WaitingKind = Literal["ready", "resting", "active", "held"]
WAITING_KINDS: tuple[WaitingKind, ...] = get_args(WaitingKind)


class Waiting(NamedTuple):
    """Kind of unfinished message: `ready` to claim, `resting` until a time, `active` or `held`."""

    pool: str
    lane: Lane
    state: WaitingKind


@dataclass(frozen=True, slots=True)
class Backlog:
    """Numbers of unfinished messages and of suppressed addresses. Counts end at limits (see backlog.py)."""

    waiting: Mapping[Waiting, int]
    oldest: Mapping[tuple[str, Lane], float]  # due time of the oldest due message; lanes without one are left out
    events: int  # pending webhook deliveries
    events_since: float | None  # due time of the oldest of them
    suppressions: Mapping[Origin, int] = field(default_factory=dict)
