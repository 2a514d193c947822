"""Arguments and results of the read queries: values that contain no SQL. Times are epoch seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.message import Lane
from app.store.mailboxes.records import MailboxRecord
from app.store.records import FIRST_ID, LAST_ID, Email


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are asked for: those for which all of it is true. None: it is not asked."""

    key_id: UUID | None = None
    state: MessageState | None = None
    last_event: LastEvent | None = None
    recipient: str | None = None  # an addr-spec, in whatever case; of to, cc or bcc
    sender: str | None = None  # an addr-spec, in whatever case
    tag: tuple[str, str | None] | None = None  # its name, and its value unless any will do
    lane: Lane | None = None
    subject: str | None = None  # a part of it, in whatever case
    start: UUID = FIRST_ID  # ids from here on
    end: UUID = LAST_ID  # and before this one


@dataclass(frozen=True, slots=True)
class Page:
    """Messages without their attempts, the newest first. `rest` is the id beyond which more may follow; None: that was
    all. The page may be short, or empty even, and have a rest: then much was looked at and little of it was asked for.
    """

    emails: tuple[Email, ...]
    next_id: UUID | None


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """What a waiting message waits for, by the name of each mailbox of its pool."""

    ahead: int | None  # messages that go before it; None: it is not due yet
    mailboxes: tuple[MailboxRecord, ...]
    sent: Mapping[str, Sequence[float]]  # when the last minute's messages went
    recipients: Mapping[str, int]  # of the last day; 0 where that does not matter yet


class Waiting(NamedTuple):
    """One kind of message that is not over: `ready` to be claimed, `resting` until a moment, `active` or `held`."""

    pool: str
    lane: Lane
    state: Literal["ready", "resting", "active", "held"]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. Counts end at a bound (backlog.COUNTED)."""

    waiting: Mapping[Waiting, int]
    oldest: Mapping[tuple[str, Lane], float]  # when the oldest due message was due, where one is
    events: int  # that webhooks are still to be told of
    events_since: float | None  # when the first of them was to be told
