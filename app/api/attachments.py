"""Attachments as the SDKs send them (api.md §2): in four forms, all made into canonical base64 without decoding it.

Nothing is ever fetched: a remote `path` is refused (it would let a caller reach into the relay's own network).
"""

import base64
import binascii
import mimetypes
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import PydanticCustomError

from app.api.errors import Name
from app.api.fields import kind, refuse
from app.mail import parameters
from app.mail.headers import HeaderError, check_content_id
from app.mail.message import Attachment

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITE_SPACE = b" \t\r\n\v\f"
_LONGEST_NAME = 255
_LONGEST_TYPE = 255
_NOT_IN_A_NAME = {*map(chr, range(32)), "\x7f"}


def _media_types() -> mimetypes.MimeTypes:
    """Python's own table and what it lacks. A machine's mime.types would make a request mean something else there."""
    types = mimetypes.MimeTypes()
    for suffix, media_type in {
        ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ".ics": "text/calendar",
        ".md": "text/markdown",
        ".webp": "image/webp",
        ".7z": "application/x-7z-compressed",
        ".gz": "application/gzip",
    }.items():
        types.add_type(media_type, suffix)
    return types


_TYPES = _media_types()


def read(value: Any) -> Attachment:
    """One attachment; a nameless one has the filename "" until `named`. Raises what `refuse` makes."""
    if not isinstance(value, dict):
        raise _refuse(f"It must be an object, not {kind(value)}.")
    content = value.get("content")
    if content is None:
        raise _without_content(value)
    filename = _filename(value.get("filename"))
    content_type = _content_type(_first(value, "content_type", "contentType"), filename)
    encoded = _encoded(content)
    if encoded is None:
        content_type, encoded = _literal(content, content_type)
    content_id = _content_id(_first(value, "content_id", "contentId", "inline_content_id"))
    return Attachment(filename, content_type, encoded, content_id)


def named(attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """Whatever came without a name gets one that says its place and its kind."""
    return tuple(
        attachment if attachment.filename else replace(attachment, filename=_name(number, attachment.content_type))
        for number, attachment in enumerate(attachments, 1)
    )


def _refuse(sentence: str, at: str = "", reason: str | None = None) -> PydanticCustomError:
    return refuse(sentence, name=Name.INVALID_ATTACHMENT, at=at, reason=reason)


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _without_content(value: Mapping[str, Any]) -> PydanticCustomError:
    if value.get("path") is None:
        return _refuse("The content is missing; give the file in base64.", ".content")
    return _refuse(
        "This relay fetches no remote files; send the file itself as `content`, in base64.",
        ".path",
        "remote_attachments_disabled",
    )


def _encoded(content: Any) -> bytes | None:
    """Canonical base64 of the content, or None when it is a text that is no base64."""
    if isinstance(content, str):
        return canonical(content)
    octets = content
    if isinstance(content, dict) and content.get("type") == "Buffer":
        octets = content.get("data")
    if not isinstance(octets, list):
        raise _refuse(f"It must be base64, a list of octets or a Buffer, not {kind(content)}.", ".content")
    if float in (kinds := set(map(type, octets))):  # 35.0 is a whole number in JSON too
        octets = [int(octet) if type(octet) is float and octet.is_integer() else octet for octet in octets]
        kinds = set(map(type, octets))
    if not kinds <= {int}:
        raise _refuse(
            "The list contains something that is no whole number; octets are numbers from 0 to 255.", ".content"
        )
    try:
        return binascii.b2a_base64(bytes(octets), newline=False)
    except ValueError:
        raise _refuse(
            "The list contains a number that is no octet; octets are numbers from 0 to 255.", ".content"
        ) from None


def canonical(text: str) -> bytes | None:
    """Strict base64 without its white space (RFC 4648 §4), or None. Never decoded: the checks run at memory speed."""
    if not text.isascii():
        return None
    data = text.encode("ascii").translate(None, _WHITE_SPACE)
    digits = data.rstrip(b"=")
    if len(data) % 4 or len(data) - len(digits) > 2 or digits.translate(None, _ALPHABET):
        return None
    last = binascii.b2a_base64(binascii.a2b_base64(data[-4:]), newline=False)
    return data if data.endswith(last) else data[:-4] + last  # unused bits of the last digit are set to zero


def _literal(content: str, content_type: str) -> tuple[str, bytes]:
    """A text that is not base64 is itself, if the type says text: Laravel sends calendars so."""
    media_type, settings = parameters.content_type(content_type)
    if not media_type.startswith("text/"):
        raise _refuse(
            "It is not base64; encode the file as RFC 4648 says, padded with = to a multiple of four characters.",
            ".content",
        )
    if "charset" not in settings:
        content_type += "; charset=utf-8"
    return content_type, base64.b64encode(content.encode())


def _filename(value: Any) -> str:
    if value is None or value is False:
        return ""
    if not isinstance(value, str):
        raise _refuse(f"It must be a string, false or null, not {kind(value)}.", ".filename")
    if not _NOT_IN_A_NAME.isdisjoint(value):
        raise _refuse("The filename contains a line break or another control character; remove it.", ".filename")
    if len(value) > _LONGEST_NAME:
        raise _refuse(f"The filename is longer than {_LONGEST_NAME} characters; shorten it.", ".filename")
    return value


def _content_type(value: Any, filename: str) -> str:
    if value is None or value == "":
        guess, encoding = _TYPES.guess_type(filename)
        return guess if guess and not encoding else parameters.OCTET_STREAM
    if not isinstance(value, str) or len(value) > _LONGEST_TYPE or not value.isascii() or not value.isprintable():
        raise _refuse("It must be a media type like application/pdf.", ".content_type")
    if parameters.content_type(value)[0] == parameters.OCTET_STREAM:
        return parameters.OCTET_STREAM
    return value


def _content_id(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _refuse(f"It must be a string, not {kind(value)}.", ".content_id")
    bare = value.strip().removeprefix("<").removesuffix(">")
    try:
        check_content_id(bare)
    except HeaderError as error:
        raise _refuse(str(error), ".content_id") from None
    return bare


def _name(number: int, content_type: str) -> str:
    suffix = _TYPES.guess_extension(parameters.content_type(content_type)[0]) or ".bin"
    return f"attachment-{number}{suffix}"
