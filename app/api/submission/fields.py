"""Validation rules of the fields of an email, with their context, warnings and error sentences.

Every rule maps a JSON value to a value of the email, or raises what `validation_error` returns.
"""

import re
from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, NotRequired, TypeVar, cast

from pydantic import ValidationInfo
from typing_extensions import TypedDict

from app.api.openapi.types import describe
from app.api.problems.validation import (
    MAX_ITEMS,
    is_whole,
    missing,
    validation_error,
    wire_name,
    wrong_type,
)
from app.frozen import frozen
from app.mail.message.address import Address, AddressError, read_address
from app.mail.message.headers import unfold
from app.mail.message.message import Lane, OnUnknown
from app.mail.times import DAY, HOUR, MAX_TIME_LENGTH, MINUTE, moment

MAX_WARNINGS = 20  # of one email
_MAX_FIELD = 100  # characters: a header name is the caller's text and has no limit of its own

W = TypeVar("W", bound=StrEnum)
L = TypeVar("L", bound=Sequence[Any])

MAX_NAME = 128  # characters of a `coalesce` value, and of a word in any case
MAX_EXPIRES_IN = 7 * DAY  # seconds

MISSING_SUBJECT = "The subject is missing; give one that is not empty."
MISSING_RECIPIENT = "The recipient is missing; give at least one address."
NO_TEMPLATES = "This relay has no templates and no topics; leave it out and send the finished html or text."
ABSENT = "The value is empty and was taken as absent."
REPLACEMENT = "\ufffd"
_BLANK = " \t\r\n"

_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_DIGITS = re.compile(r"[0-9]{1,9}")

HORIZON = 30 * DAY  # seconds ahead at most
GRACE = HOUR  # seconds in the past at most: a clock that is slow, or a request that was repeated for a while

_UNITS = {"second": 1, "sec": 1, "minute": MINUTE, "min": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}
_RELATIVE = re.compile(r"in\s+(\d{1,9})\s+(second|sec|minute|min|hour|day|week)s?", re.IGNORECASE | re.ASCII)


class FieldWarning(TypedDict):
    """One change that was made to a value of the request, or one value that was not used."""

    field: Annotated[str, describe("Its place in the request, such as `cc[1]` or `headers.X-Note`.")]
    message: Annotated[str, describe("The change, in one sentence.")]


class Warned(TypedDict):
    """Optional `warnings` member of a response."""

    warnings: NotRequired[
        Annotated[list[FieldWarning], describe("Changes that were made. Left out if there are none.")]
    ]


class Warnings:
    """Collector of the warnings of one email. The field readers add to it while they validate."""

    def __init__(self) -> None:
        self._found: list[FieldWarning] = []

    def add(self, field: str, message: str) -> None:
        """Record one change, once, unless MAX_WARNINGS are recorded already."""
        warning: FieldWarning = {"field": field[:_MAX_FIELD], "message": message}
        if len(self._found) < MAX_WARNINGS and warning not in self._found:
            self._found.append(warning)

    def member(self) -> Warned:
        """Return `{"warnings": [...]}`, or `{}` without any."""
        return {"warnings": list(self._found)} if self._found else {}


@frozen
class ValidationContext:
    """Context of the rules beside the body. `now` is in epoch seconds."""

    now: float
    default_sender: str | None
    max_recipients: int
    default_lane: Lane = Lane.NORMAL
    warnings: Warnings = field(default_factory=Warnings)
    strict: bool = False  # unknown members are errors instead of warnings
    repaired: bool = False  # lone surrogates anywhere in the request became U+FFFD


class ListItem(NamedTuple):
    """Element of a list in the request. `at` is its index in the field, "" for a single value."""

    at: str
    value: Any


def _context(info: ValidationInfo) -> ValidationContext:
    return cast("ValidationContext", info.context)


def unsupported(value: Any) -> None:
    """Refuse `template` and `topic_id`: they change content and consent, so they are not ignored."""
    if value is not None:
        raise validation_error(NO_TEMPLATES, reason="unsupported_field")


def plain_text(value: Any) -> str:
    """Return a string without NUL, which no mail may contain (RFC 5322 §2.1)."""
    if not isinstance(value, str):
        raise validation_error(wrong_type("a string", value))
    if "\0" in value:
        raise validation_error("It contains a NUL character; remove it.")
    return value


def warn(info: ValidationInfo, message: str, *, at: str = "") -> None:
    """Record a change to the field in validation. `at` is the path inside it."""
    _context(info).warnings.add(wire_name(info.field_name or "") + at, message)


def content(value: Any, info: ValidationInfo) -> str:
    """Return a string without its NUL characters, which no mail may contain (RFC 5322 §2.1)."""
    if not isinstance(value, str):
        raise validation_error(wrong_type("a string", value))
    warn_of_repair(value, info)
    if "\0" not in value:
        return value
    warn(info, "NUL characters were removed; no email can have them.")
    return value.replace("\0", "")


def warn_of_repair(value: str, info: ValidationInfo, *, at: str = "") -> None:
    """Record that a lone surrogate was replaced before the JSON was parsed."""
    if is_repaired(value, info):
        warn(info, "Half of a surrogate pair, which is no character, was replaced by U+FFFD.", at=at)


def is_repaired(value: str, info: ValidationInfo) -> bool:
    """Return true if the value may have had a lone surrogate."""
    return REPLACEMENT in value and _context(info).repaired


def address(value: Any, info: ValidationInfo, at: str = "") -> Address:
    """Read exactly one address, as `addr` or `name <addr>`. `at` is the path inside the field, for warnings."""
    try:
        found, changes = read_address(unfold(plain_text(value)))
    except AddressError as error:
        raise validation_error(str(error)) from None
    for change in changes:
        warn(info, change, at=at)
    warn_of_repair(found.display_name, info, at=at)
    return found


def entry(given: ListItem, info: ValidationInfo) -> Address:
    """Read one address of a list."""
    return address(given.value, info, given.at)


def optional_entry(given: ListItem, info: ValidationInfo) -> Address | None:
    """Read one address of an optional list; an empty string, as forms send it, is absent."""
    if isinstance(given.value, str) and not given.value.strip(_BLANK):
        warn(info, ABSENT, at=given.at)
        return None
    return address(given.value, info, given.at)


def without_absent(addresses: tuple[Address | None, ...]) -> tuple[Address, ...]:
    """Return the addresses without None."""
    return tuple(address for address in addresses if address is not None)


def given(value: Any, info: ValidationInfo) -> Any:
    """Return the value of an optional field; None for an empty string, as forms send it."""
    if isinstance(value, str) and not value.strip(_BLANK):
        warn(info, ABSENT)
        return None
    return value


def sender(value: Any, info: ValidationInfo) -> Address:
    """Read the sender, or use the default of the key or the relay."""
    default = _context(info).default_sender
    if default is not None:
        value = given(value, info)
    if value is None and default is None:
        raise missing("The sender is missing; give its address, or set a default sender for this API key.")
    return address(default if value is None else value, info)


def addresses(value: Any, info: ValidationInfo) -> list[ListItem]:
    """Return the entries of a string, a list or null, unparsed."""
    if value is None:
        return []
    if isinstance(value, str):
        return [ListItem("", value)]
    if not isinstance(value, list):
        raise validation_error(wrong_type("an address or a list of addresses", value))
    return numbered(limited(value, info))


def limited(value: L, info: ValidationInfo, at: str = "") -> L:
    """Return the list unless it has too many addresses."""
    limit = _context(info).max_recipients
    if len(value) > limit:
        raise validation_error(f"It has {len(value)} addresses and may have {limit}; send several emails.", at=at)
    return value


def required_addresses(value: Any, info: ValidationInfo) -> list[ListItem]:
    """Return at least one entry. An empty tuple, which is no JSON, marks a Postmark email with Cc or Bcc alone."""
    if value == ():
        return []
    found = addresses(value, info)
    if not found:
        raise missing(MISSING_RECIPIENT)
    return found


def subject(value: Any, info: ValidationInfo) -> str:
    """Read one line that is not empty. It may be folded (RFC 5322 §2.2.3)."""
    text = "" if value is None else unfold(content(value, info))
    if not text:
        raise missing(MISSING_SUBJECT)
    if "\r" in text or "\n" in text:
        raise validation_error("The subject contains a line break; put it on one line.")
    return text


def html(value: Any, info: ValidationInfo) -> str | None:
    """Read a string or null."""
    return None if value is None else content(value, info)


def text(value: Any, info: ValidationInfo) -> str | None:
    """Read a string or null; html and text must not both be empty."""
    text = None if value is None else content(value, info)
    if not text and not info.data.get("html", "unjudged"):
        raise missing("The content is missing; give an html or a text that is not empty.")
    return text


def tag(value: Any) -> tuple[str, str]:
    """Read `{"name", "value"?}`. A tuple, which is no JSON, is a tag from `postmark.email`."""
    if isinstance(value, tuple):
        return cast("tuple[str, str]", value)
    if not isinstance(value, dict):
        raise validation_error(wrong_type('an object like {"name": "campaign", "value": "spring"}', value))
    name, content = value.get("name"), value.get("value")
    if name is None or name == "":
        raise missing("The name of the tag is missing; give one.", at=".name")
    return _tag_text(name, ".name"), "" if content in (None, "") else _tag_text(content, ".value")


def _tag_text(value: Any, at: str) -> str:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise validation_error("It must be 1 to 256 ASCII letters, digits, underscores or hyphens.", at=at)
    return value


def entries(value: Any) -> list[Any]:
    """Return a list or null as a list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise validation_error(wrong_type("a list", value))
    if len(value) > MAX_ITEMS:
        raise validation_error(f"It has {len(value)} entries and may have {MAX_ITEMS}.")
    return value


def numbered(values: list[Any]) -> list[ListItem]:
    """Return the values with their indices."""
    return [ListItem(f"[{index}]", item) for index, item in enumerate(values)]


def scheduled_at(value: Any, info: ValidationInfo) -> float | None:
    """Read a time as epoch seconds; None: immediately."""
    if value is None:
        return None
    try:
        return parse_time(plain_text(value), _context(info).now)
    except SchedulingError as error:
        raise validation_error(str(error)) from None


def expires_in(value: Any, at: str = "") -> int | None:
    """Read a number of seconds, from a header also as a string."""
    if value is None:
        return None
    whole = is_whole(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value, whole = int(value), True
    if not whole or not 1 <= value <= MAX_EXPIRES_IN:
        raise validation_error(f"It must be a whole number of seconds from 1 to {MAX_EXPIRES_IN}.", at=at)
    return int(value)


def on_unknown(value: Any, at: str = "") -> OnUnknown | None:
    """Read one of the values of OnUnknown."""
    return _word(OnUnknown, value, at)


def lane(value: Any, at: str = "") -> Lane | None:
    """Read one of the three lanes."""
    return _word(Lane, value, at)


def coalesce(value: Any, at: str = "") -> str | None:
    """Read the name of a group of emails that replace each other."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise validation_error(f"It must be a string of 1 to {MAX_NAME} printable characters.", at=at)
    return value


def _word(words: type[W], value: Any, at: str) -> W | None:
    if value is None:
        return None
    word = value.strip().lower() if isinstance(value, str) and len(value) <= MAX_NAME else ""
    if word not in {*words}:
        raise validation_error(f"It must be one of {', '.join(words)}.", at=at)
    return words(word)


class SchedulingError(ValueError):
    """Error in a time, as one sentence for the caller."""


def parse_time(text: str, now: float, *, grace: float = GRACE) -> float | None:
    """Return epoch seconds, or None for a time at most `grace` seconds in the past: the email is sent immediately.

    Raises SchedulingError.
    """
    due = _relative(text, now) if text[:3].lower() == "in " else moment(text)
    if due is None:
        raise SchedulingError(
            "It is not a time; write ISO 8601 like 2026-11-23T20:08:28Z, or a delay like `in 10 minutes`"
            " (seconds, minutes, hours, days or weeks). A zone is an offset such as +02:00, or UTC."
        )
    if due < now - grace:
        raise SchedulingError("It is more than one hour in the past; give a later time, or leave it out to send now.")
    if due > now + HORIZON:
        raise SchedulingError("It is more than 30 days ahead; choose an earlier time, or send it later.")
    return due if due > now else None


def _relative(text: str, now: float) -> float | None:
    match = _RELATIVE.fullmatch(text.strip()) if len(text) <= MAX_TIME_LENGTH else None
    return now + int(match[1]) * _UNITS[match[2].lower()] if match else None
