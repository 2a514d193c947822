"""Validation of a webhook's members, with the error sentences."""

import base64
import secrets
from datetime import UTC, datetime
from typing import Any

from app.api.problems.problem import FieldError, Invalid
from app.api.submission.fields import json_type
from app.mail.webhook.rules import UNSUPPORTED_EVENTS, EventType, TargetError, target
from app.store.webhooks.records import WebhookStatus

SECRET_BYTES = 32  # Standard Webhooks requires 24 to 64
INVALID_SINCE = "It must be a date and time such as 2026-11-24T09:00:00Z."


def new_secret() -> str:
    """Return a new signing secret in the form of Standard Webhooks: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def endpoint(value: Any, *, private: bool) -> str:
    """Return the URL if webhooks may be sent to it. Raises Invalid."""
    if not isinstance(value, str):
        raise Invalid([FieldError("endpoint", f"It must be a string, not {json_type(value)}.")])
    try:
        target(value, private=private)
    except TargetError as error:
        raise Invalid([FieldError("endpoint", str(error), reason="endpoint_not_allowed")]) from None
    return value


def events(value: Any) -> tuple[str, ...]:
    """Return the types of events without duplicates, in the caller's order. Raises Invalid."""
    if not isinstance(value, list) or not value:
        raise Invalid([FieldError("events", "It must be a list of at least one type of event, such as email.sent.")])
    for index, one in enumerate(value):
        if not isinstance(one, str) or one not in (*EventType, *UNSUPPORTED_EVENTS):
            known = ", ".join(EventType)
            raise Invalid([FieldError(f"events[{index}]", f"This type of event does not exist. Use some of {known}.")])
    return tuple(dict.fromkeys(value))


def status(value: Any) -> WebhookStatus:
    """Return the status. Raises Invalid."""
    try:
        return WebhookStatus(value)
    except ValueError:
        raise Invalid([FieldError("status", "It must be enabled or disabled.")]) from None


def epoch_seconds(value: Any) -> float:
    """Return epoch seconds from an ISO 8601 date and time (UTC without an offset). Raises Invalid."""
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Invalid([FieldError("since", INVALID_SINCE)]) from None
