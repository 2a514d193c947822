"""Webhooks, their events and tries as the SDKs read them. Reads no store."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from app.api.http.headers import timestamp
from app.api.openapi.types import Id, Timestamp, describe
from app.mail.timestamps import iso
from app.mail.webhook.rules import UNSUPPORTED_EVENTS, EventType
from app.store.webhooks.records import Delivery, DeliveryAttempt, DeliveryState, Webhook, WebhookStatus

EventStatus = Literal["pending", "attempting", "success", "failed"]

_STATUS: Mapping[DeliveryState, EventStatus] = {DeliveryState.DELIVERED: "success", DeliveryState.FAILED: "failed"}


class WebhookObject(TypedDict):
    """An endpoint that is told of events."""

    object: Literal["webhook"]
    id: Id
    created_at: Timestamp
    status: WebhookStatus
    endpoint: str
    events: Sequence[str]
    never_sent: Annotated[list[str], describe("Those of `events` that a relay cannot know: they never come.")]
    disabled_reason: Annotated[str | None, describe("Why it is disabled, where that was no person's wish.")]


class WebhookWithSecret(WebhookObject):
    """An endpoint, with the secret that signs."""

    signing_secret: Annotated[str, describe("`whsec_` and base64: for the libraries of Standard Webhooks and of Svix.")]


class WebhookEvent(TypedDict):
    """An event as it stands with this endpoint."""

    id: Annotated[Id, describe("The `webhook-id` of every try.")]
    type: EventType
    created_at: Timestamp
    status: EventStatus


class WholeWebhookEvent(WebhookEvent):
    """An event with what is told."""

    object: Literal["webhook_event"]
    next_attempt_at: Timestamp | None
    payload: dict[str, Any]


class WebhookTry(TypedDict):
    """One POST of an event."""

    id: str
    http_status_code: Annotated[int, describe("0 when there was no answer; then `response` says why.")]
    response: str
    sent_at: Timestamp


def webhook(one: Webhook) -> WebhookObject:
    """As a list has it: without its secret."""
    return {
        "object": "webhook",
        "id": str(one.id),
        "created_at": iso(one.created_at),
        "status": one.status,
        "endpoint": one.endpoint,
        "events": one.events,
        "never_sent": [kind for kind in one.events if kind in UNSUPPORTED_EVENTS],
        "disabled_reason": one.reason,
    }


def with_secret(one: Webhook) -> WebhookWithSecret:
    """With the secret in force."""
    return {**webhook(one), "signing_secret": one.secrets[0].value}


def event(one: Delivery) -> WebhookEvent:
    """As a list has it: without its payload."""
    return {
        "id": str(one.event_id),
        "type": one.type,
        "created_at": iso(one.at),
        "status": _STATUS.get(one.state, "attempting" if one.history else "pending"),
    }


def whole_event(one: Delivery) -> WholeWebhookEvent:
    """With its payload."""
    next_at = timestamp(one.next_at)
    return {"object": "webhook_event", **event(one), "next_attempt_at": next_at, "payload": json.loads(one.payload)}


def attempts(one: Delivery) -> list[WebhookTry]:
    """The last tries, the newest first."""
    return [_attempt(f"{one.event_id}-{number}", it) for number, it in enumerate(one.history, 1)][::-1]


def _attempt(id: str, one: DeliveryAttempt) -> WebhookTry:
    return {"id": id, "http_status_code": one.status, "response": one.response, "sent_at": iso(one.at)}
