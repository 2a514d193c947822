"""Query parameters of GET /emails: filters, page size and cursor. All errors are reported together."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import Field, WithJsonSchema

from app.api.http.params import DEFAULT_PAGE, page_limit
from app.api.openapi.email_types import EmailAddress
from app.api.openapi.operation import Parameter
from app.api.openapi.types import ID, Id
from app.api.problems.problem import FieldError, Invalid
from app.api.submission import send_time
from app.frozen import frozen
from app.mail.lifecycle import LastEvent
from app.mail.message.message import Lane
from app.store.db import uuid7
from app.store.read import email_filters
from app.store.read.records import Selection


@frozen
class Query:
    """Requested page: the newest emails of the selection, or the oldest after a `before`."""

    asked: Selection
    limit: int
    oldest_first: bool


def read(given: Mapping[str, str], key_id: UUID | None) -> Query:
    """Read the parameters; unknown ones are ignored. `key_id` restricts the page to one key. Raises Invalid."""
    found, errors = email_filters.parse(given, _RULES)
    if "after" in given and "before" in given:
        errors.append(("after", "Give `after` or `before`, not both."))
    if errors:
        raise Invalid([FieldError(name, sentence) for name, sentence in errors])
    selection = email_filters.selection({**found, "subject": found.get("q")}, key_id)
    return Query(selection, found.get("limit", DEFAULT_PAGE), "before" in found)


def _first_id_at(text: str) -> UUID:
    at = send_time.moment(text)
    if at is None:
        raise ValueError("It must be a time in ISO 8601 like 2026-11-23T20:08:28Z; write a + in it as %2B.")
    return uuid7.first_at(at)


_RULES: Mapping[str, email_filters.Rule] = {
    "limit": page_limit,
    "after": email_filters.email_id,
    "before": email_filters.email_id,
    "last_event": email_filters.last_event,
    "to": email_filters.address,
    "from": email_filters.address,
    "tag": email_filters.tag,
    "lane": email_filters.lane,
    "created_after": _first_id_at,
    "created_before": _first_id_at,
    "q": email_filters.subject,
}

_DateTime: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Emails on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an email: those that were accepted before it.", ID),
    Parameter("before", Id, "The id of an email: those that were accepted after it."),
    Parameter("last_event", LastEvent, "Where they stand."),
    Parameter("to", EmailAddress, "A recipient, of cc and bcc too, in whatever case."),
    Parameter("from", EmailAddress, "The sender, in whatever case."),
    Parameter(
        "tag",
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}(:[^\u0000]{0,1000})?$")],
        "The name of a tag, or `name:value`. Emails of Postmark's SDKs have values with whatever characters.",
        "category:receipt",
    ),
    Parameter("lane", Lane, "The lane they go by."),
    Parameter("created_after", _DateTime, "Accepted at this time or later. Write a + in it as %2B."),
    Parameter("created_before", _DateTime, "Accepted before this time."),
    Parameter(
        "q",
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\u0000]+$")],
        "A part of the subject; A to Z in whatever case.",
        "receipt",
    ),
)
