"""Webhooks, their events and tries as the SDKs read them. Reads no store."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.api.wire import timestamp
from app.mail.webhook import NEVER
from app.store.webhook_records import Delivery, DeliveryState, Try, Webhook

_STATUS = {DeliveryState.DELIVERED: "success", DeliveryState.FAILED: "failed"}


def webhook(one: Webhook) -> dict[str, Any]:
    """As a list has it: without its secret."""
    return {
        "object": "webhook",
        "id": str(one.id),
        "created_at": timestamp(one.created_at),
        "status": one.status,
        "endpoint": one.endpoint,
        "events": one.events,
        "never_sent": [kind for kind in one.events if kind in NEVER],
        "disabled_reason": one.reason,
    }


def with_secret(one: Webhook) -> dict[str, Any]:
    """With the secret in force."""
    return {**webhook(one), "signing_secret": one.secrets[0].value}


def event(one: Delivery) -> dict[str, Any]:
    """As a list has it: without its payload."""
    return {
        "id": str(one.event_id),
        "type": one.type,
        "created_at": timestamp(one.at),
        "status": _STATUS.get(one.state, "attempting" if one.history else "pending"),
    }


def whole_event(one: Delivery) -> dict[str, Any]:
    """With its payload."""
    next_at = timestamp(one.next_at)
    return {"object": "webhook_event", **event(one), "next_attempt_at": next_at, "payload": json.loads(one.payload)}


def attempts(one: Delivery) -> list[dict[str, Any]]:
    """The last tries, the newest first."""
    return [_attempt(f"{one.event_id}-{number}", it) for number, it in enumerate(one.history, 1)][::-1]


def listed(data: Iterable[Mapping[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """A page."""
    return {"object": "list", "has_more": has_more, "data": list(data)}


def _attempt(id: str, one: Try) -> dict[str, Any]:
    return {"id": id, "http_status_code": one.status, "response": one.answer, "sent_at": timestamp(one.at)}
