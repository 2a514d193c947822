"""Webhooks, with and without their secret, their events and delivery attempts as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from app.api.http.headers import timestamp
from app.api.openapi.types import Id, Timestamp, describe
from app.mail.times import iso
from app.mail.webhook.rules import EventType
from app.store.webhooks.records import Delivery, DeliveryAttempt, DeliveryState, Webhook, WebhookStatus

EventStatus = Literal["pending", "attempting", "success", "failed"]

_STATUS: Mapping[DeliveryState, EventStatus] = {DeliveryState.DELIVERED: "success", DeliveryState.FAILED: "failed"}


class WebhookObject(TypedDict):
    """A webhook: an endpoint and the events that it receives."""

    object: Literal["webhook"]
    id: Id
    created_at: Timestamp
    status: WebhookStatus
    endpoint: str
    events: Sequence[str]
    never_sent: Annotated[
        list[str], describe("The types in `events` that this Postern cannot observe and never sends.")
    ]
    disabled_reason: Annotated[str | None, describe("Why Postern disabled it; null if an administrator did.")]


class WebhookWithSecret(WebhookObject):
    """A webhook with its signing secret."""

    signing_secret: Annotated[
        str, describe("`whsec_` and base64, as the libraries of Standard Webhooks and Svix expect.")
    ]


class WebhookEventObject(TypedDict):
    """An event and its delivery status."""

    id: Annotated[Id, describe("The `webhook-id` header of every delivery attempt.")]
    type: EventType
    created_at: Timestamp
    status: EventStatus


class WebhookEventWithPayload(WebhookEventObject):
    """An event with its payload."""

    object: Literal["webhook_event"]
    next_attempt_at: Timestamp | None
    payload: dict[str, Any]


class WebhookTry(TypedDict):
    """One delivery attempt of an event."""

    id: str
    http_status_code: Annotated[int, describe("0 if there was no response; `response` then has the reason.")]
    response: str
    sent_at: Timestamp


def webhook(record: Webhook, never_sent: frozenset[str]) -> WebhookObject:
    """Return a webhook without its secret. `never_sent`: types that are accepted and never sent."""
    return {
        "object": "webhook",
        "id": str(record.id),
        "created_at": iso(record.created_at),
        "status": record.status,
        "endpoint": record.endpoint,
        "events": record.events,
        "never_sent": [kind for kind in record.events if kind in never_sent],
        "disabled_reason": record.reason,
    }


def with_secret(record: Webhook, never_sent: frozenset[str]) -> WebhookWithSecret:
    """Return a webhook with its newest secret."""
    return {**webhook(record, never_sent), "signing_secret": record.secrets[0].value}


def event(delivery: Delivery) -> WebhookEventObject:
    """Return an event without its payload."""
    return {
        "id": str(delivery.event_id),
        "type": delivery.type,
        "created_at": iso(delivery.at),
        "status": _STATUS.get(delivery.state, "attempting" if delivery.history else "pending"),
    }


def event_with_payload(delivery: Delivery) -> WebhookEventWithPayload:
    """Return an event with its payload."""
    next_at, payload = timestamp(delivery.next_at), json.loads(delivery.payload)
    return {"object": "webhook_event", **event(delivery), "next_attempt_at": next_at, "payload": payload}


def attempts(delivery: Delivery) -> list[WebhookTry]:
    """Return the latest delivery attempts, newest first."""
    numbered = enumerate(delivery.history, 1)
    return [_attempt(f"{delivery.event_id}-{number}", attempt) for number, attempt in numbered][::-1]


def _attempt(id: str, attempt: DeliveryAttempt) -> WebhookTry:
    return {
        "id": id,
        "http_status_code": attempt.status,
        "response": attempt.response,
        "sent_at": iso(attempt.at),
    }
