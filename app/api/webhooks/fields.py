"""The rules of a webhook's fields, each with the sentence the caller reads when it is broken."""

import base64
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from app.api.http import strict_json
from app.api.problems.problem import ErrorName, FieldError, Invalid
from app.api.submission.fields import json_type
from app.mail.webhook.rules import UNSUPPORTED_EVENTS, EventType, TargetError, target
from app.store.webhooks.records import Status

SECRET = 32  # octets; Standard Webhooks asks for 24 to 64
MAX_PAGE = 100  # entries of a page
DEFAULT_PAGE = 20

_DIGITS = re.compile("[0-9]{1,9}")

T = TypeVar("T")


def new_secret() -> str:
    """What signs for one endpoint."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET)).decode()


def members(raw: bytes | bytearray) -> dict[str, Any]:
    """The body's JSON object; an empty body has no members. Raises Invalid, MalformedBody."""
    value = strict_json.parse(raw) if raw.strip() else {}
    if not isinstance(value, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object, not {json_type(value)}.")])
    return value


def required(given: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """A member that has to be there."""
    if given.get(name) is None:
        raise Invalid([FieldError(name, "It is missing; give it.", ErrorName.MISSING_REQUIRED_FIELD)])
    return read(given[name])


def optional(given: dict[str, Any], name: str, read: Callable[[Any], T]) -> T | None:
    """A member that may be left out or null."""
    return None if given.get(name) is None else read(given[name])


def endpoint(value: Any, *, private: bool) -> str:
    """A URL that a webhook may lead to."""
    if not isinstance(value, str):
        raise Invalid([FieldError("endpoint", f"It must be a string, not {json_type(value)}.")])
    try:
        target(value, private=private)
    except TargetError as error:
        raise Invalid([FieldError("endpoint", str(error), reason="endpoint_not_allowed")]) from None
    return value


def events(value: Any) -> tuple[str, ...]:
    """Types of events, each once, in the caller's order."""
    if not isinstance(value, list) or not value:
        raise Invalid([FieldError("events", "It must be a list of at least one type of event, such as email.sent.")])
    for index, one in enumerate(value):
        if not isinstance(one, str) or one not in (*EventType, *UNSUPPORTED_EVENTS):
            known = ", ".join(EventType)
            raise Invalid([FieldError(f"events[{index}]", f"There is no such type of event here. There are {known}.")])
    return tuple(dict.fromkeys(value))


def status(value: Any) -> Status:
    """Enabled or disabled."""
    try:
        return Status(value)
    except ValueError:
        raise Invalid([FieldError("status", "It must be enabled or disabled.")]) from None


def epoch_seconds(value: Any) -> float:
    """Epoch seconds from an ISO 8601 date and time; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Invalid([FieldError("since", "It must be a date and time such as 2026-11-24T09:00:00Z.")]) from None


def limit(value: str | None) -> int:
    """How many entries a page may have."""
    if value is None:
        return DEFAULT_PAGE
    if not _DIGITS.fullmatch(value) or not 1 <= int(value) <= MAX_PAGE:
        raise Invalid([FieldError("limit", f"It must be a whole number from 1 to {MAX_PAGE}.")])
    return int(value)


def after(value: str | None) -> UUID | None:
    """The entry behind which a page begins."""
    return None if value is None else uuid("after", value, ErrorName.VALIDATION_ERROR)


def uuid(field: str, value: str, name: ErrorName = ErrorName.INVALID_PARAMETER) -> UUID:
    """An id as this relay gives them out."""
    try:
        return UUID(value)
    except ValueError:
        raise Invalid([FieldError(field, "It must be a UUID, as this relay gave it out.", name)]) from None
