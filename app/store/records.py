"""Values of the message queue, which contain no SQL: hints of work, claims, attempts, and emails as stored. Bounds of
all ids. Times are epoch seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from app.frozen import frozen
from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import ActiveMessage, MessageState, RecipientState
from app.mail.message.message import Envelope, Lane, MessageSummary, OnUnknown
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation

FIRST_ID = UUID(int=0)  # before every id
LAST_ID = UUID(int=(1 << 128) - 1)  # after every id


@frozen
class WorkHint:
    """Hint to the relay that messages may be due in `pool` (None: in any pool), perhaps urgent ones.

    `from_this_process`: False for a hint of another process. `before_commit`: the hint is passed on before the commit
    that stores the messages and not after it, because a claim requested then runs in that commit or in a later one.
    """

    pool: str | None = None
    urgent: bool = True
    from_this_process: bool = True
    before_commit: bool = False


ANY_POOL = frozenset({WorkHint()})
OTHER_PROCESS = WorkHint(from_this_process=False)


@frozen
class Claimed:
    """ACTIVE message that a mailbox has claimed. `envelope` has the pending recipients only.

    `lease` is the fencing token: a later write of the claimant takes effect only while it is the stored one.
    """

    id: UUID
    lease: UUID
    mailbox: str
    number: int  # of this attempt, from 1
    started_at: float
    envelope: Envelope
    message_id: str
    size: int  # bytes of the content
    delivery_state: ActiveMessage
    lane: Lane = Lane.NORMAL
    content: bytes | None = field(default=None, repr=False)  # None: it is large, and read when it is sent
    traceparent: str | None = None


@frozen
class AttemptLog:
    """Outcome of an ended attempt, to be stored. `verdicts` has by address the action and the rule's name."""

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
    """Stored attempt: an AttemptLog with its number, mailbox and start. `ended_at` is None while it runs."""

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
class DeliveryRecord:
    """Delivery to a recipient as Exchange reported it at `at`.

    `network_id` is Exchange's id; None: only a non-delivery report is known.
    """

    state: DeliveryState
    at: float
    network_id: UUID | None
    cause: Cause
    duplicate_id: UUID | None = None  # of a second message with the same Message-ID and recipient


@dataclass(frozen=True, slots=True)
class RecipientRecord:
    """Stored recipient. `reply`: the last SMTP reply. `delivery` None: Exchange has reported nothing about it yet."""

    address: str
    state: RecipientState
    reply: str | None
    delivery: DeliveryRecord | None = None


@dataclass(frozen=True, slots=True)
class Email:
    """Stored message without its content, as it is read."""

    id: UUID
    key_id: UUID
    pool: str
    lane: Lane
    state: MessageState
    message_id: str
    head: MessageSummary
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
    attempted: bool = False  # an attempt has ended
    content_removed_at: float | None = None  # None: the content is stored
    recipients: tuple[RecipientRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Result of a command for one message: retry, cancel, confirm, reschedule."""

    applied: bool  # False: the message did not allow it, and is unchanged
    state: MessageState  # after the command
    has_content: bool = True  # its content is stored
