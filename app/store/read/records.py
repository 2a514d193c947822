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
    """Filter of a list: all conditions must hold. None: no condition."""

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
    """Messages without their attempts, the newest first. `next_id`: more may follow after it; None: the end.

    A page may be short or empty and still have a `next_id`: the scan ended at its limit.
    """

    emails: tuple[Email, ...]
    next_id: UUID | None


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Queue position of a waiting message, and the mailboxes of its pool."""

    ahead: int | None  # messages that go before it; None: it is not due yet
    mailboxes: tuple[MailboxRecord, ...]
    sent: Mapping[str, Sequence[float]]  # when the last minute's messages went
    recipients: Mapping[str, int]  # of the last day; 0 where that does not matter yet


class Waiting(NamedTuple):
    """Kind of unfinished message: `ready` to claim, `resting` until a time, `active` or `held`."""

    pool: str
    lane: Lane
    state: Literal["ready", "resting", "active", "held"]


@dataclass(frozen=True, slots=True)
class Backlog:
    """Numbers of unfinished messages. Counts end at backlog.COUNT_LIMIT."""

    waiting: Mapping[Waiting, int]
    oldest: Mapping[tuple[str, Lane], float]  # when the oldest due message was due, where one is
    events: int  # that webhooks are still to be told of
    events_since: float | None  # when the first of them was to be told
