"""What goes into the store and what comes out of it about webhooks: values that know no SQL. Times: epoch seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from app.mail.webhook.rules import EventType


class WebhookStatus(StrEnum):
    """Whether an endpoint is told anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """Where one event stands with one endpoint. Stored."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Secret:
    """What signs: `whsec_` and base64. `until` is when it signs no more; None: it is the one in force."""

    value: str = field(repr=False)
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """One endpoint. `reason` says why it is disabled, where that was not a person's wish."""

    id: UUID
    endpoint: str
    events: tuple[str, ...]
    created_at: float
    secrets: tuple[Secret, ...]  # the one in force first
    status: WebhookStatus = WebhookStatus.ENABLED
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """What is to be changed of a webhook; None stays as it is."""

    id: UUID
    endpoint: str | None = None
    events: tuple[str, ...] | None = None
    status: WebhookStatus | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret for a webhook; those before it sign beside it until `until`."""

    id: UUID
    secret: str = field(repr=False)
    now: float
    until: float


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST of an event. `status` is 0 when there was no answer; then `answer` says why."""

    at: float
    status: int
    response: str


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """An event in the hands of who tells it to one endpoint; `lease` is the fence."""

    number: int
    lease: UUID
    webhook_id: UUID
    event_id: UUID
    subject: str
    tries: int  # that failed so far
    history: tuple[DeliveryAttempt, ...]
    type: EventType
    payload: str


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """How a try ended. With a `next_at` it is tried again then; `gone` says why the endpoint is to be disabled."""

    delivery: ClaimedDelivery
    attempt: DeliveryAttempt
    delivered: bool
    next_at: float | None = None
    disable_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as it stands with one endpoint."""

    event_id: UUID
    type: EventType
    at: float
    state: DeliveryState
    tries: int
    next_at: float | None  # None when it is over
    history: tuple[DeliveryAttempt, ...]
    payload: str
