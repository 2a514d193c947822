"""Query parameters of GET /emails: filters, page size and cursor. All errors are reported together."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeAlias, TypeVar
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
from app.mail.message.address import parse_address
from app.mail.message.message import Lane
from app.store.db import uuid7
from app.store.read.records import Selection
from app.store.records import FIRST_ID, LAST_ID

MAX_TEXT = 200  # characters of `q`

W = TypeVar("W", bound=StrEnum)

_TAG = re.compile("([A-Za-z0-9_-]{1,256})(?::([^\0]{0,1000}))?", re.ASCII)


@frozen
class Query:
    """Requested page: the newest emails of the selection, or the oldest after a `before`."""

    asked: Selection
    limit: int
    oldest_first: bool


def read(given: Mapping[str, str], key_id: UUID | None) -> Query:
    """Read the parameters; unknown ones are ignored. `key_id` restricts the page to one key. Raises Invalid."""
    flaws = []
    found: dict[str, Any] = dict.fromkeys(_RULES)
    for name, rule in _RULES.items():
        if name in given:
            try:
                found[name] = rule(given[name])
            except ValueError as error:
                flaws.append(FieldError(name, str(error)))
    if "after" in given and "before" in given:
        flaws.append(FieldError("after", "Give `after` or `before`, not both."))
    if flaws:
        raise Invalid(flaws)
    return Query(_asked(found, key_id), found["limit"] or DEFAULT_PAGE, found["before"] is not None)


def _asked(found: Mapping[str, Any], key_id: UUID | None) -> Selection:
    """The list goes from the newest to the oldest: what is after an email in it was accepted before it."""
    before = found["before"]
    starts = [found["created_after"], before and UUID(int=min(before.int + 1, LAST_ID.int))]
    ends = [found["created_before"], found["after"]]
    return Selection(
        key_id=key_id,
        last_event=found["last_event"],
        recipient=found["to"],
        sender=found["from"],
        tag=found["tag"],
        lane=found["lane"],
        subject=found["q"],
        start=max((one for one in starts if one), default=FIRST_ID),
        end=min((one for one in ends if one), default=LAST_ID),
    )


def _cursor(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("It must be the id of an email, as a page of the list has it.") from None


def _word(words: type[W], text: str) -> W:
    try:
        return words(text.strip().lower())
    except ValueError:
        raise ValueError(f"It must be one of {', '.join(words)}.") from None


def _address(text: str) -> str:
    return parse_address(text).addr_spec


def _tag(text: str) -> tuple[str, str | None]:
    tag = _TAG.fullmatch(text)
    if tag is None:
        raise ValueError("It must be the name of a tag, or `name:value`.")
    return tag[1], tag[2]


def _moment(text: str) -> UUID:
    at = send_time.moment(text)
    if at is None:
        raise ValueError("It must be a time in ISO 8601 like 2026-11-23T20:08:28Z; write a + in it as %2B.")
    return uuid7.first_at(at)


def _part(text: str) -> str:
    if not 1 <= len(text) <= MAX_TEXT or "\0" in text:
        raise ValueError(f"It must be 1 to {MAX_TEXT} characters of the subject.")
    return text


_RULES: Mapping[str, Callable[[str], Any]] = {
    "limit": page_limit,
    "after": _cursor,
    "before": _cursor,
    "last_event": partial(_word, LastEvent),
    "to": _address,
    "from": _address,
    "tag": _tag,
    "lane": partial(_word, Lane),
    "created_after": _moment,
    "created_before": _moment,
    "q": _part,
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
