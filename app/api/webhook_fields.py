"""The rules of a webhook's fields, each with the sentence the caller reads when it is broken."""

import base64
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from app.api import document
from app.api.errors import Flaw, Invalid, Name
from app.api.fields import kind
from app.mail.webhook import NEVER, EventType, TargetError, target
from app.store.webhook_records import Status

SECRET = 32  # octets; Standard Webhooks asks for 24 to 64
MOST = 100  # entries of a page
USUAL = 20

_DIGITS = re.compile("[0-9]{1,9}")

T = TypeVar("T")


def new_secret() -> str:
    """What signs for one endpoint."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET)).decode()


def members(raw: bytes | bytearray) -> dict[str, Any]:
    """The body's JSON object; an empty body has no members. Raises Invalid, MalformedBody."""
    value = document.parse(raw) if raw.strip() else {}
    if not isinstance(value, dict):
        raise Invalid([Flaw("", f"The request body must be one JSON object, not {kind(value)}.")])
    return value


def required(given: dict[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """A member that has to be there."""
    if given.get(name) is None:
        raise Invalid([Flaw(name, "It is missing; give it.", Name.MISSING_REQUIRED_FIELD)])
    return read(given[name])


def optional(given: dict[str, Any], name: str, read: Callable[[Any], T]) -> T | None:
    """A member that may be left out or null."""
    return None if given.get(name) is None else read(given[name])


def endpoint(value: Any, *, private: bool) -> str:
    """A URL that a webhook may lead to."""
    if not isinstance(value, str):
        raise Invalid([Flaw("endpoint", f"It must be a string, not {kind(value)}.")])
    try:
        target(value, private=private)
    except TargetError as error:
        raise Invalid([Flaw("endpoint", str(error), reason="endpoint_not_allowed")]) from None
    return value


def events(value: Any) -> tuple[str, ...]:
    """Types of events, each once, in the caller's order."""
    if not isinstance(value, list) or not value:
        raise Invalid([Flaw("events", "It must be a list of at least one type of event, such as email.sent.")])
    for index, one in enumerate(value):
        if not isinstance(one, str) or one not in (*EventType, *NEVER):
            known = ", ".join(EventType)
            raise Invalid([Flaw(f"events[{index}]", f"There is no such type of event here. There are {known}.")])
    return tuple(dict.fromkeys(value))


def status(value: Any) -> Status:
    """Enabled or disabled."""
    try:
        return Status(value)
    except ValueError:
        raise Invalid([Flaw("status", "It must be enabled or disabled.")]) from None


def moment(value: Any) -> float:
    """Epoch seconds from an ISO 8601 date and time; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Invalid([Flaw("since", "It must be a date and time such as 2026-11-24T09:00:00Z.")]) from None


def limit(value: str | None) -> int:
    """How many entries a page may have."""
    if value is None:
        return USUAL
    if not _DIGITS.fullmatch(value) or not 1 <= int(value) <= MOST:
        raise Invalid([Flaw("limit", f"It must be a whole number from 1 to {MOST}.")])
    return int(value)


def after(value: str | None) -> UUID | None:
    """The entry behind which a page begins."""
    return None if value is None else uuid("after", value, Name.VALIDATION_ERROR)


def uuid(field: str, value: str, name: Name = Name.INVALID_PARAMETER) -> UUID:
    """An id as this relay gives them out."""
    try:
        return UUID(value)
    except ValueError:
        raise Invalid([Flaw(field, "It must be a UUID, as this relay gave it out.", name)]) from None
