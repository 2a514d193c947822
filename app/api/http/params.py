"""Parameters and JSON members that several routes read, the pages of a list, and the error sentences of both."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from app.api.http import strict_json
from app.api.problems.problem import ErrorName, FieldError, Invalid
from app.api.submission.fields import json_type

MAX_PAGE = 100  # entries of a page
DEFAULT_PAGE = 20  # entries
INVALID_UUID = "It must be a UUID, as returned by this API."
INVALID_LIMIT = f"It must be a whole number from 1 to {MAX_PAGE}."
MISSING_MEMBER = "This member is required."

_LIMIT = re.compile("0*(?:[1-9][0-9]?|100)", re.ASCII)

T = TypeVar("T")


def json_members(raw: bytes | bytearray) -> dict[str, Any]:
    """Return the members of the body's JSON object; an empty body has none. Raises Invalid, MalformedBody."""
    value = strict_json.parse(raw) if raw.strip() else {}
    if not isinstance(value, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object, not {json_type(value)}.")])
    return value


def required(given: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> T:
    """Return a member that must be present, as `read` returns it. Raises Invalid."""
    if given.get(name) is None:
        raise Invalid([FieldError(name, MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD)])
    return read(given[name])


def optional(given: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> T | None:
    """Return a member as `read` returns it; None if it is absent or null. Raises Invalid."""
    return None if given.get(name) is None else read(given[name])


def page_limit(text: str) -> int:
    """Return the number of entries that a page may have. Raises ValueError."""
    if not _LIMIT.fullmatch(text):
        raise ValueError(INVALID_LIMIT)
    return int(text)


def page(query: Mapping[str, str]) -> tuple[int, UUID | None]:
    """Return the `limit` of a page, and the id of the entry `after` which it begins. Raises Invalid."""
    try:
        limit = page_limit(query["limit"]) if "limit" in query else DEFAULT_PAGE
    except ValueError as error:
        raise Invalid([FieldError("limit", str(error))]) from None
    return limit, uuid("after", query["after"], ErrorName.VALIDATION_ERROR) if "after" in query else None


def list_object(data: Iterable[Mapping[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """Return a list as JSON."""
    return {"object": "list", "has_more": has_more, "data": [*data]}


def uuid(field: str, value: str, name: ErrorName = ErrorName.INVALID_PARAMETER) -> UUID:
    """Return the UUID in a parameter. Raises Invalid."""
    try:
        return UUID(value)
    except ValueError:
        raise Invalid([FieldError(field, INVALID_UUID, name)]) from None
