"""Filters of an email list: rules for their texts, and the Selection of their values, for GET /emails, the console and
the command line.

A rule returns the value of one filter, or raises ValueError with a sentence for its error.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from app.mail.lifecycle import LastEvent, MessageState
from app.mail.message.address import parse_address
from app.mail.message.message import Lane
from app.mail.times import DAY, HOUR, MINUTE, moment
from app.store.db import uuid7
from app.store.read.last_event import EVENTS
from app.store.read.records import Selection
from app.store.records import FIRST_ID, LAST_ID

MAX_SUBJECT_LENGTH = 200  # characters

Rule = Callable[[str], Any]
W = TypeVar("W", bound=StrEnum)

_TAG = re.compile("([A-Za-z0-9_-]{1,256})(?::([^\0]{0,1000}))?", re.ASCII)
_ID_PREFIX = re.compile("[0-9a-f]{1,32}", re.ASCII)
_ID_DIGITS = 32
_AGE = re.compile("([0-9]{1,9})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY}


def selection(values: Mapping[str, Any], key_id: UUID | None = None) -> Selection:
    """Return the selection of the values by parameter.

    A list goes from the newest to the oldest email: those after the cursor `after` were accepted earlier.
    `created_after` and `created_before` are the first and the last id of a time. `event` is a member of EVENTS.
    `ids` is a range of `id_range`. `key` is the id of an API key, and `key_id` of the only one whose emails may be
    listed.
    """
    key = values.get("key")
    event = values.get("event")
    before = values.get("before")
    first, last = values.get("ids") or (None, None)
    if first is not None and first == last:
        last = _next_id(first)
    starts = (values.get("created_after"), first, before and _next_id(before))
    others_only = None not in (key, key_id) and key != key_id
    ends = (values.get("created_before"), last, values.get("after"), FIRST_ID if others_only else None)
    return Selection(
        key_id=key if key_id is None else key_id,
        state=MessageState.HELD if event is MessageState.HELD else values.get("state"),
        last_event=event if isinstance(event, LastEvent) else values.get("last_event"),
        held=not isinstance(event, LastEvent),
        recipient=values.get("to"),
        recipient_prefix=values.get("to_prefix"),
        message_id=values.get("message_id"),
        sender=values.get("from"),
        tag=values.get("tag"),
        lane=values.get("lane"),
        subject=values.get("subject"),
        start=max((one for one in starts if one), default=FIRST_ID),
        end=min((one for one in ends if one is not None), default=LAST_ID),
    )


def _next_id(id: UUID) -> UUID:
    return UUID(int=min(id.int + 1, LAST_ID.int))


def email_id(text: str) -> UUID:
    """Return the id of an email."""
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("It must be the id of an email, as a page of the list has it.") from None


def id_range(text: str) -> tuple[UUID, UUID]:
    """Return the first id with this prefix, and the id before which they end; the same for a complete id.

    Hyphens are optional.
    """
    digits = text.strip().lower().replace("-", "")
    if not _ID_PREFIX.fullmatch(digits):
        raise ValueError("It must be the id of an email, or the first characters of one.")
    first = UUID(digits.ljust(_ID_DIGITS, "0"))
    ids = 16 ** (_ID_DIGITS - len(digits))
    return first, first if ids == 1 else UUID(int=min(first.int + ids, LAST_ID.int))


def first_id(text: str, now: float) -> UUID:
    """Return the first id of a time: an age such as `2h` before `now` (epoch seconds), or ISO 8601."""
    if match := _AGE.fullmatch(text.strip().lower()):
        return uuid7.first_at(now - int(match[1]) * _UNITS[match[2]])
    at = moment(text)
    if at is None:
        raise ValueError("It must be an age such as 90m, 2h or 7d, or a time like 2026-11-23T20:08:28Z.")
    return uuid7.first_at(at)


def key_id(given: str, names: Mapping[UUID, str]) -> UUID:
    """Return the id of the API key with this name or id; `names`: of all keys, by id."""
    found = [id for id, name in names.items() if given in (name, str(id))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"There is no key {given}; see: postern keys list")
    raise ValueError(f"Several keys have this name; give the id of one: {' '.join(map(str, found))}")


def one_of(words: type[W], text: str) -> W:
    """Return the member of an enumeration, in any case."""
    try:
        return words(text.strip().lower())
    except ValueError:
        raise ValueError(f"It must be one of {', '.join(words)}.") from None


def address(text: str) -> str:
    """Return the addr-spec of an address."""
    return parse_address(text).addr_spec


def tag(text: str) -> tuple[str, str | None]:
    """Return the name of a tag, and its value if it is given."""
    match = _TAG.fullmatch(text)
    if match is None:
        raise ValueError("It must be the name of a tag, or `name:value`.")
    return match[1], match[2]


def subject(text: str) -> str:
    """Return a part of a subject."""
    if not 1 <= len(text) <= MAX_SUBJECT_LENGTH or "\0" in text:
        raise ValueError(f"It must be 1 to {MAX_SUBJECT_LENGTH} characters of the subject.")
    return text


def event(text: str) -> MessageState | LastEvent:
    """Return a member of EVENTS, in any case."""
    found = next((one for one in EVENTS if one == text.strip().lower()), None)
    if found is None:
        raise ValueError(f"It must be one of {', '.join(EVENTS)}.")
    return found


lane: Rule = partial(one_of, Lane)
last_event: Rule = partial(one_of, LastEvent)
