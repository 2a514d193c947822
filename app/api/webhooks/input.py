"""Bodies of the routes under /webhooks, with the error sentences."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from app.api.http.params import MISSING_MEMBER, JsonInput, Required
from app.api.openapi.types import describe
from app.api.problems.problem import FieldError, Invalid
from app.api.problems.validation import string, validation_error
from app.mail.webhook.rules import MAX_URL, UNSUPPORTED_EVENTS, EventType, TargetError, target
from app.store.webhooks.records import WebhookStatus

INVALID_SINCE = "It must be a date and time such as 2026-11-24T09:00:00Z."
_ENDPOINT = (
    "An https URL with a public address, without user and fragment. POSTERN_WEBHOOK_PRIVATE_ADDRESSES also allows "
    "http and private addresses."
)
_EVENT = {
    "type": "string",
    "enum": [*EventType, *sorted(UNSUPPORTED_EVENTS)],
    "description": "Events that only the recipient's server can observe are accepted but never sent.",
}
_URL = {"type": "string", "format": "public-url", "maxLength": MAX_URL, "minLength": 1}
_Url: TypeAlias = Annotated[str, WithJsonSchema(_URL)]
_EventNames: TypeAlias = Annotated[list[Annotated[str, WithJsonSchema(_EVENT)]], Field(min_length=1)]


def _events(value: Any) -> tuple[str, ...]:
    """Return the types of events without duplicates, in the caller's order."""
    if not isinstance(value, list) or not value:
        raise validation_error("It must be a list of at least one type of event, such as email.sent.")
    for index, event in enumerate(value):
        if not isinstance(event, str) or event not in (*EventType, *UNSUPPORTED_EVENTS):
            known = ", ".join(EventType)
            raise validation_error(f"This type of event does not exist. Use some of {known}.", at=f"[{index}]")
    return tuple(dict.fromkeys(value))


def _status(value: Any) -> WebhookStatus:
    try:
        return WebhookStatus(value)
    except ValueError:
        raise validation_error("It must be enabled or disabled.") from None


def _epoch_seconds(value: Any) -> float:
    """Return epoch seconds from an ISO 8601 date and time (UTC without an offset)."""
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise validation_error(INVALID_SINCE) from None


class WebhookInput(JsonInput):
    """An endpoint and the types of events that it receives."""

    endpoint: Annotated[str, PlainValidator(string, _Url), Required(MISSING_MEMBER)] = describe(_ENDPOINT, default="")
    events: Annotated[tuple[str, ...], PlainValidator(_events, _EventNames), Required(MISSING_MEMBER)] = ()


class WebhookRevision(JsonInput):
    """Changes of a webhook. A member that is absent or null is not changed."""

    endpoint: Annotated[str | None, PlainValidator(string, _Url | None)] = describe(_ENDPOINT, default=None)
    events: Annotated[tuple[str, ...] | None, PlainValidator(_events, _EventNames | None)] = None
    status: Annotated[WebhookStatus | None, PlainValidator(_status, WebhookStatus | None)] = None


class ReplayInput(JsonInput):
    """Start time of a replay."""

    since: Annotated[
        float,
        PlainValidator(_epoch_seconds, Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]),
        Required(MISSING_MEMBER),
    ] = describe("ISO 8601; UTC if it has no offset.", default=0.0)


def check_endpoint(url: str, *, private: bool) -> None:
    """Check that webhooks may be sent to this URL. Raises Invalid."""
    try:
        target(url, private=private)
    except TargetError as error:
        raise Invalid([FieldError("endpoint", str(error), reason="endpoint_not_allowed")]) from None
