"""Custom headers of an email: forwarded, ignored, or read as Message-ID, Reply-To or options (`X-Postern-…`)."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationInfo

from app.api.problems.validation import MAX_ITEMS, validation_error, wrong_type
from app.api.submission import fields
from app.frozen import frozen
from app.mail.message.address import Address, AddressError
from app.mail.message.headers import (
    INVALID_NAME,
    MAX_NAME,
    HeaderError,
    addresses,
    check_custom_field,
    check_message_id,
    is_reserved,
    reason_withheld,
    unfold,
)
from app.mail.message.message import Lane, OnUnknown
from app.mail.safe_text import cut

MAX_SIZE = 256 * 1024  # characters of all names and values; a receive connector of Exchange takes no larger header

T = TypeVar("T")


@frozen
class CustomHeaders:
    """Parsed `headers` member of one email."""

    forwarded: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None  # without <>
    expires_in: int | None = None  # seconds
    on_unknown: OnUnknown | None = None
    lane: Lane | None = None
    coalesce: str | None = None
    reply_to: tuple[Address, ...] = ()


def read(value: Any, info: ValidationInfo) -> CustomHeaders:
    """Read an object, null, or the empty list that PHP writes for an empty object."""
    if value is None or value == []:
        return CustomHeaders()
    if not isinstance(value, dict):
        raise validation_error(wrong_type('an object like {"X-Reference": "42"}', value))
    _check_size(value)
    given = [(name, _as_text(name, content)) for name, content in value.items() if content is not None]
    _warn_of_withheld(given, info)
    own = {name.lower(): (f".{name}", content) for name, content in given}

    def ours(member: str, rule: Callable[[Any, str], T]) -> T:
        at, content = own.get(f"x-postern-{member}", ("", None))
        return rule(content, at)

    return CustomHeaders(
        forwarded=tuple((name, _checked(name, content, info)) for name, content in given if not is_reserved(name)),
        message_id=_message_id(*own.get("message-id", ("", ""))),
        expires_in=ours("expires-in", fields.expires_in),
        on_unknown=ours("on-unknown", fields.on_unknown),
        lane=ours("lane", fields.lane),
        coalesce=ours("coalesce", fields.coalesce),
        reply_to=_reply_to(*own.get("reply-to", ("", "")), info),
    )


def _check_size(headers: Mapping[str, Any]) -> None:
    """Check numbers and lengths, so that all further work on names and values is bounded."""
    if len(headers) > MAX_ITEMS:
        raise validation_error(f"It has {len(headers)} headers and may have {MAX_ITEMS}.")
    size = 0
    for name, content in headers.items():
        if len(name) > MAX_NAME and content is not None:
            raise validation_error(INVALID_NAME, at=f".{cut(name)}")
        size += len(name) + len(content) if isinstance(content, str) else 0
    if size > MAX_SIZE:
        raise validation_error(f"Its names and values have {size} characters together and may have {MAX_SIZE}.")


def _warn_of_withheld(given: list[tuple[str, str]], info: ValidationInfo) -> None:
    for name, _ in given:
        reason = reason_withheld(name)
        if reason is not None:
            fields.warn(info, f"The header was not sent. {reason}", at=f".{name}")


def _reply_to(at: str, value: str, info: ValidationInfo) -> tuple[Address, ...]:
    """Return the addresses of a Reply-To header, unless the member `reply_to` has some."""
    if not value.strip(" \t") or "reply_to" not in info.data:  # no second error if `reply_to` itself was refused
        return ()
    try:
        found = addresses(value)
    except AddressError as error:
        if info.data["reply_to"]:
            return ()
        raise validation_error(f"{error} Or leave it out, and use the member `reply_to`.", at=at) from None
    if not info.data["reply_to"]:
        return fields.limited(found, info, at)
    if found != info.data["reply_to"]:
        fields.warn(info, "The header was not sent: the member `reply_to` holds.", at=at)
    return ()


def _as_text(name: str, value: Any) -> str:
    match value:
        case str():
            return unfold(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
    raise validation_error(wrong_type("a string, a number or a boolean", value), at=f".{name}")


def _checked(name: str, value: str, info: ValidationInfo) -> str:
    if fields.is_repaired(value, info):
        raise validation_error(
            "It contains half of a surrogate pair, which is no character; send UTF-8.", at=f".{name}"
        )
    try:
        check_custom_field(name, value)
    except HeaderError as error:
        raise validation_error(str(error), at=f".{name}") from None
    return value


def _message_id(at: str, value: str) -> str | None:
    """Return the caller's Message-ID. An invalid one is ignored, because frameworks add one automatically."""
    if "\r" in value or "\n" in value:
        raise validation_error("The Message-ID contains a line break; put it on one line.", at=at)
    bare = value.strip().removeprefix("<").removesuffix(">")
    try:
        check_message_id(bare)
    except HeaderError:
        return None
    return bare
