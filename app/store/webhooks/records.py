"""Webhook endpoints and deliveries as stored, with arguments and results of their operations.

The values contain no SQL. Times are epoch seconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from app.mail.webhook.rules import EventType
from app.store.keys.audit import Actor


class WebhookStatus(StrEnum):
    """Status of an endpoint. `disabled`: it gets no new events, and pending deliveries wait."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """State of the delivery of one event to one endpoint. Stored."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # after the last attempt


@dataclass(frozen=True, slots=True)
class Secret:
    """Signing secret: `whsec_` and base64. `until`: end of a replaced secret; None: it is the current one."""

    value: str = field(repr=False)
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """One endpoint. `reason`: cause, if it was disabled automatically."""

    id: UUID
    endpoint: str
    events: tuple[str, ...]
    created_at: float
    secrets: tuple[Secret, ...]  # the current one first
    status: WebhookStatus = WebhookStatus.ENABLED
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """Webhook to store. `by`: actor for the audit; None: no entry. So in the other arguments."""

    webhook: Webhook
    by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """New values of a webhook; None: unchanged."""

    id: UUID
    now: float
    endpoint: str | None = None
    events: tuple[str, ...] | None = None
    status: WebhookStatus | None = None
    by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret for a webhook; the former ones also sign until `until`."""

    id: UUID
    secret: str = field(repr=False)
    now: float
    until: float
    by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """Removal of a webhook."""

    id: UUID
    now: float
    by: Actor | None = None


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST of an event. `status` 0: no response; then `response` is the reason."""

    at: float
    status: int
    response: str


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """Claimed delivery. Its result is written only while `lease` is the stored one."""

    number: int
    lease: UUID
    webhook_id: UUID
    event_id: UUID
    subject: str
    tries: int  # failed attempts so far
    history: tuple[DeliveryAttempt, ...]
    type: EventType
    payload: str


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """Outcome of an attempt. `next_at`: time of the next one. `disable_reason`: disable the endpoint because of it."""

    delivery: ClaimedDelivery
    attempt: DeliveryAttempt
    delivered: bool
    next_at: float | None = None
    disable_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event and the state of its delivery to one endpoint."""

    event_id: UUID
    type: EventType
    at: float
    state: DeliveryState
    tries: int
    next_at: float | None  # None: delivered or failed
    history: tuple[DeliveryAttempt, ...]
    payload: str
