"""Arguments and results of the message verbs: values that contain no SQL. Times are epoch seconds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from app.frozen import frozen
from app.mail.delivery.bounce import Cause
from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import ActiveMessage, MessageState, RecipientState
from app.mail.message.message import Envelope, Lane, Message, OnUnknown
from app.mail.outcome.attempt import FailureKind, Line, Phase
from app.mail.outcome.verdict import Explanation
from app.mail.rate_limit import Usage, Window
from app.mail.suppression import Listing

FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=(1 << 128) - 1)


@frozen
class WorkHint:
    """Hint that work may be due in a pool (None: in any), also urgent work.

    `here`: False for a hint from another process. `announced`: the work can be claimed in the commit that stores it,
    so the hint is passed on before.
    """

    pool: str | None = None
    urgent: bool = True
    here: bool = True
    announced: bool = False


ANYWHERE = frozenset({WorkHint()})
ELSEWHERE = frozenset({WorkHint(here=False)})


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One Idempotency-Key of one API key on one endpoint, with a digest of the request."""

    key_id: UUID
    endpoint: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """Readable parts of a message without its content. Addresses are rendered as the caller wrote them."""

    sender: str
    to: tuple[str, ...]
    subject: str
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # custom headers of the caller
    client: str = ""  # network address of the caller; "" if it is not known


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One message to store."""

    id: UUID
    key_id: UUID
    pool: str
    message: Message
    head: MessageSummary
    created_at: float
    due_at: float
    expires_at: float
    scheduled_at: float | None
    on_unknown: OnUnknown
    lane: Lane = Lane.NORMAL
    coalesce: str | None = None
    traceparent: str | None = None  # W3C Trace Context of the request
    sunk: bool = False  # stored, and never relayed
    ignores_suppressions: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """Result of `accept`: the ids stored now or, if `replayed`, by the first request with this Idempotency-Key.

    `usage` is the API key's use of its rate limit, if it has one and something was stored.
    """

    ids: tuple[UUID, ...]
    replayed: bool = False
    superseded: tuple[UUID, ...] = ()  # messages cancelled because of `coalesce`
    usage: Usage | None = None
    suppressed: Mapping[UUID, Collection[Listing]] = field(default_factory=dict)  # suppressed recipients by message


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The API key's rate limit is exceeded in this window. Nothing was stored or charged."""

    usage: Usage
    window: Window


@dataclass(frozen=True, slots=True)
class IdempotencyConflict:
    """The Idempotency-Key was used before for another request. Nothing was stored."""


@frozen
class Claimed:
    """An ACTIVE message with its lease. `envelope` has the pending recipients only; `lease` is the fence."""

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
    """Outcome of an attempt as stored for readers. `verdicts` has by address the action and the rule's name."""

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
    """One stored attempt. `ended_at` is None while it runs."""

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
    """One stored recipient. `delivery` None: nothing has been reported of it."""

    address: str
    state: RecipientState
    reply: str | None
    delivery: DeliveryRecord | None = None


@dataclass(frozen=True, slots=True)
class Email:
    """A stored message, without its content."""

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
    tried: bool = False  # an attempt has ended
    content_removed_at: float | None = None  # None: the content is stored
    recipients: tuple[RecipientRecord, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Result of an operator command: was it `applied`, and the state of the message now."""

    applied: bool
    state: MessageState
    has_content: bool = True  # its content is stored
