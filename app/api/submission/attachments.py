"""Attachments of an email: rules of their members, names for those without one, and warnings about content ids.

Nothing is ever fetched: a remote `path` is refused (it would let a caller reach into the relay's own network).
"""

import mimetypes
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from app.api.problems.problem import ErrorName
from app.api.problems.validation import validation_error, wrong_type
from app.api.submission import attachment_content
from app.api.submission.fields import ListItem, warn, warn_of_repair
from app.mail.message import message
from app.mail.message.inline_files import Renamed, Unused, bare_id
from app.mail.message.message import Attachment

NO_REMOTE_FILES = "This relay fetches no remote files; send the file itself as `content`, in base64."
_LONGEST_NAME = 255
_LONGEST_TYPE = 255
_NOT_IN_A_NAME = {*map(chr, range(32)), "\x7f"}


def _media_types() -> mimetypes.MimeTypes:
    """Return Python's table of media types with additions, independent of the machine's mime.types."""
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


def read(given: ListItem, info: ValidationInfo) -> Attachment:
    """Read one attachment; without a name its filename is "" until `named`. Raises `validation_error`."""
    value = given.value
    if not isinstance(value, dict):
        raise _refuse(wrong_type("an object", value))
    content = value.get("content")
    if content is None:
        raise _without_content(value)
    filename = _filename(value.get("filename"))
    warn_of_repair(filename, info, at=f"{given.at}.filename")
    if isinstance(content, str):
        warn_of_repair(content, info, at=f"{given.at}.content")
    declared = _first(value, "content_type", "contentType")
    content_type = _content_type(declared, filename)
    encoding = attachment_content.encoding_of(value.get("encoding"))
    found = attachment_content.read(content, encoding, is_text=_is_text(content_type))
    if found.media_type and not declared:
        content_type = _more_exact(_content_type(found.media_type, ""), content_type)
    if found.is_literal:
        content_type = _with_charset(content_type)
    if found.warning:
        warn(info, found.warning, at=f"{given.at}.content")
    content_id = _content_id(_first(value, "content_id", "contentId", "inline_content_id"))
    return Attachment(filename, content_type, found.base64, content_id)


def named(attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """Give a name with number and type to each attachment without one."""
    return tuple(
        attachment if attachment.filename else replace(attachment, filename=_name(number, attachment.content_type))
        for number, attachment in enumerate(attachments, 1)
    )


def content_id_warning(change: Unused | Renamed) -> str:
    """Return the warning for a content id that is not sent unchanged."""
    if isinstance(change, Renamed):
        return f"It cannot be a Content-ID as it stands; the file and the html use {change.content_id} instead."
    if change.is_twin:
        return "Another attachment has this content id already; the file is sent as an ordinary attachment, without it."
    return "The html has no `cid:` reference to it; the file is sent as an ordinary attachment."


def _refuse(sentence: str, at: str = "", reason: str | None = None) -> PydanticCustomError:
    return validation_error(sentence, name=ErrorName.INVALID_ATTACHMENT, at=at, reason=reason)


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _without_content(value: Mapping[str, Any]) -> PydanticCustomError:
    if value.get("path") is None:
        return _refuse("The content is missing; give the file in base64.", ".content")
    return _refuse(NO_REMOTE_FILES, ".path", "remote_attachments_disabled")


def _filename(value: Any) -> str:
    if value is None or value is False:
        return ""
    if not isinstance(value, str):
        raise _refuse(wrong_type("a string, false or null", value), ".filename")
    if len(value) > _LONGEST_NAME:
        raise _refuse(f"The filename is longer than {_LONGEST_NAME} characters; shorten it.", ".filename")
    if not _NOT_IN_A_NAME.isdisjoint(value):
        raise _refuse("The filename contains a line break or another control character; remove it.", ".filename")
    return value


def _content_type(value: Any, filename: str) -> str:
    if value is None or value == "":
        guess, encoding = _TYPES.guess_type(filename)
        return guess if guess and not encoding else message.OCTET_STREAM
    if not isinstance(value, str) or len(value) > _LONGEST_TYPE or not value.isascii() or not value.isprintable():
        raise _refuse("It must be a media type like application/pdf.", ".content_type")
    if message.content_type(value)[0] == message.OCTET_STREAM:
        return message.OCTET_STREAM
    return value


def _more_exact(of_url: str, of_name: str) -> str:
    """Return the type of the name if the data: URL has only application/octet-stream, the browsers' default."""
    return of_name if of_url == message.OCTET_STREAM else of_url


def _with_charset(content_type: str) -> str:
    """Return the content type; a text given as characters is sent in UTF-8."""
    has_charset = "charset" in message.content_type(content_type)[1]
    return f"{content_type}; charset=utf-8" if _is_text(content_type) and not has_charset else content_type


def _is_text(content_type: str) -> bool:
    return message.content_type(content_type)[0].startswith("text/")


def _content_id(value: Any) -> str | None:
    """Read the caller's content id; `app/mail/message/inline_files.py` replaces an unsafe one that the html uses."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _refuse(wrong_type("a string", value), ".content_id")
    bare = bare_id(value).replace("\t", " ")
    if not _NOT_IN_A_NAME.isdisjoint(bare):
        raise _refuse("The content id contains a line break or another control character; remove it.", ".content_id")
    return bare or None


def _name(number: int, content_type: str) -> str:
    suffix = _TYPES.guess_extension(message.content_type(content_type)[0]) or ".bin"
    return f"attachment-{number}{suffix}"
