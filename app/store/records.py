"""What goes into the store and what comes out: values that know no SQL. Times are epoch seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from app.mail.attempt import FailureKind, Line, Phase
from app.mail.health import Condition
from app.mail.lifecycle import MessageState, RecipientState, Standing
from app.mail.message import Envelope, Lane, Message, OnUnknown
from app.mail.verdict import Explanation


class Permission(StrEnum):
    """What an API key may do (api.md §5)."""

    FULL_ACCESS = "full_access"
    SENDING_ACCESS = "sending_access"
    SEND_ONLY = "send_only"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as stored: its hash, never itself. `senders` are patterns; empty means every sender of the pools."""

    id: UUID
    name: str
    permission: Permission
    created_at: float
    senders: tuple[str, ...] = ()
    default_sender: str | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One Idempotency-Key of one API key on one endpoint, with a digest of what was asked."""

    key_id: UUID
    endpoint: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What a person reads of a message without its content. Addresses as the caller wrote them, rendered."""

    sender: str
    to: tuple[str, ...]
    subject: str
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # the caller's own


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One message to keep."""

    id: UUID
    key_id: UUID
    pool: str
    message: Message
    head: Head
    created_at: float
    due_at: float
    expires_at: float
    scheduled_at: float | None
    on_unknown: OnUnknown
    lane: Lane = Lane.NORMAL
    coalesce: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accept: the ids kept now, or, replayed, those kept by the first request with this key."""

    ids: tuple[UUID, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class IdempotencyConflict:
    """The key was used before for something else. Nothing was kept."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An ACTIVE message in a worker's hands. `envelope` has the pending recipients only; `lease` is the fence."""

    id: UUID
    lease: UUID
    mailbox: str
    number: int  # of this attempt, from 1
    started_at: float
    envelope: Envelope
    message_id: str
    size: int  # octets of the content
    standing: Standing
    lane: Lane = Lane.NORMAL
    content: bytes | None = field(default=None, repr=False)  # None: it is large, and read when it is offered


@dataclass(frozen=True, slots=True)
class Record:
    """How an attempt ended, as kept for people. `verdicts` has per address the rule's name and the action."""

    ended_at: float
    phase: Phase
    failure: FailureKind | None = None
    detail: str | None = None
    replies: tuple[str, ...] = ()
    verdicts: Mapping[str, str] = field(default_factory=dict)
    dialogue: tuple[Line, ...] = ()
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt as read back. `ended_at` is None while it runs."""

    number: int
    mailbox: str
    started_at: float
    ended_at: float | None
    phase: Phase
    failure: FailureKind | None
    detail: str | None
    replies: tuple[str, ...]
    verdicts: Mapping[str, str]
    dialogue: tuple[Line, ...]
    in_doubt: bool


@dataclass(frozen=True, slots=True)
class RecipientRecord:
    """One recipient as read back."""

    address: str
    state: RecipientState
    reply: str | None


@dataclass(frozen=True, slots=True)
class Email:
    """A message as read back, without its content."""

    id: UUID
    key_id: UUID
    pool: str
    lane: Lane
    state: MessageState
    message_id: str
    head: Head
    size: int
    created_at: float
    due_at: float | None
    expires_at: float
    scheduled_at: float | None
    ended_at: float | None
    mailbox: str | None
    on_unknown: OnUnknown
    possible_duplicate: bool
    explanation: Explanation | None
    recipients: tuple[RecipientRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a person's word about a message: whether it `happened`, and where the message stands now."""

    happened: bool
    state: MessageState


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wishes for a mailbox: to be held, or released."""

    at: float
    hold: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MailboxRecord:
    """A mailbox as read back; `wish` is what its relay has not heard yet."""

    name: str
    pool: str
    condition: Condition
    wish: Wish | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """One message a mailbox has offered: for its windows of pace and of recipients a day."""

    at: float  # the latest moment at which the upstream can have counted it
    recipients: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting message waits for, by the name of each mailbox of its pool."""

    ahead: int | None  # messages that go before it; None: it is not due yet
    mailboxes: tuple[MailboxRecord, ...]
    sent: Mapping[str, Sequence[float]]  # when the last minute's messages went
    recipients: Mapping[str, int]  # of the last day; 0 where that does not matter yet
