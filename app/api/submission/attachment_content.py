"""The `content` of an attachment as canonical base64: strings, lists of bytes, Node's Buffers.

A string is read by one rule, in this order:
1. `encoding` given: `base64` (a `data:` URL of base64 included), or `utf-8`, which makes the characters the file.
2. A `data:` URL (RFC 2397): what it holds.
3. Made of the characters of base64 alone, as one word, as lines of one length or with `=` at its end: base64.
   It must be valid then (RFC 4648 §4), whatever the type is: how many characters it has decides nothing.
4. Anything else: the text itself if the media type is `text/…`, else base64 with white space in it, or refused.
"""

import base64
import binascii
import re
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic_core import PydanticCustomError

from app.api.problems.problem import ErrorName
from app.api.problems.validation import validation_error, wrong_type
from app.frozen import frozen
from app.mail.message import message

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITE_SPACE = b" \t\r\n\v\f"
_BASE64_CHARACTERS = _ALPHABET + b"-_=" + _WHITE_SPACE  # of base64url too: a word of it is no text either
_LINE = 60  # characters of the shortest line in which an encoder wraps base64; MIME has 76, PEM has 64
_BLOCK = 64 * 1024  # entries of a list that are converted at once
_URL_HEAD = 1024  # characters in which a data: URL has its comma
_URL_UNITS = re.compile(rb"(?s:%[0-9A-Fa-f]{2}|.){1,65536}+")
_LONGEST_ENCODING = 64  # characters of the member `encoding`
_DOUBTFUL = 64  # characters of a text that might just as well be meant as it stands
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_WORD = re.compile(rb"\S*+")
_CHARSET = re.compile(r"charset=([A-Za-z0-9][A-Za-z0-9._-]{0,39})", re.IGNORECASE)

_NOT_BASE64 = (
    "It is not base64; encode the file as RFC 4648 says, padded with = to a multiple of four characters, or send a "
    "data: URL."
)
_NEARLY_BASE64 = (
    "It has only characters of base64, but is not base64 (RFC 4648 §4, padded with = to a multiple of four). Encode "
    'the file again, or add `"encoding": "utf-8"` if these characters are the file.'
)
_BAD_URL = "The data: URL does not hold base64 after `;base64,`; encode the file as RFC 4648 says."
_IN_DOUBT = (
    "It was decoded from base64, and the file is no UTF-8 text. If these characters are the file, add "
    '`"encoding": "utf-8"`; if not, add `"encoding": "base64"`.'
)


class Encoding(StrEnum):
    """Value of the member `encoding`: how a string is decoded to the file."""

    BASE64 = "base64"
    UTF_8 = "utf-8"


@frozen
class Content:
    """Content of a file as canonical base64 (padded, no white space)."""

    base64: bytes
    media_type: str = ""  # the one that a data: URL has
    is_literal: bool = False  # the characters of the string are the file
    warning: str = ""  # for a caller who may have meant something else


def encoding_of(value: Any) -> Encoding | None:
    """Read the member `encoding`; null, "" and values of other types are absent."""
    if not isinstance(value, str) or not value:
        return None
    name = value.strip().lower() if len(value) <= _LONGEST_ENCODING else ""
    try:
        return Encoding.UTF_8 if name == "utf8" else Encoding(name)
    except ValueError:
        raise _refuse(f"It must be one of {', '.join(Encoding)}.", ".encoding") from None


def read(content: Any, encoding: Encoding | None, *, is_text: bool) -> Content:
    """Read the content. `is_text`: its media type is `text/…`. Raises `validation_error`."""
    if isinstance(content, str):
        return _from_string(content, encoding, is_text=is_text)
    values = content
    if isinstance(content, dict) and content.get("type") == "Buffer":
        values = content.get("data")
    if not isinstance(values, list):
        raise _refuse(wrong_type("base64, a list of bytes or a Buffer", content))
    return Content(binascii.b2a_base64(_bytes_from_numbers(values), newline=False))


def _refuse(sentence: str, at: str = ".content") -> PydanticCustomError:
    return validation_error(sentence, name=ErrorName.INVALID_ATTACHMENT, at=at)


def _from_string(text: str, encoding: Encoding | None, *, is_text: bool) -> Content:
    if encoding is Encoding.UTF_8:
        return _literal(text)
    if text[:5].lower() == "data:" and (found := _from_url(text)):
        return found
    if encoding is None and is_text and not _is_meant_as_base64(text):
        return _literal(text)
    encoded = canonical(text)
    if encoded is None:
        raise _refuse(_NEARLY_BASE64 if is_text and encoding is None else _NOT_BASE64)
    return Content(encoded, warning=_IN_DOUBT if is_text and encoding is None and _is_in_doubt(encoded) else "")


def _literal(text: str) -> Content:
    return Content(base64.b64encode(text.encode()), is_literal=True)


def _is_meant_as_base64(text: str) -> bool:
    """Return true if the text has the form of base64, valid or not. Several words without that form are a text."""
    if not text.isascii():
        return False
    data = text.encode("ascii").strip(_WHITE_SPACE)
    if data.translate(None, _BASE64_CHARACTERS) or b"=" in data.rstrip(b"=" + _WHITE_SPACE):
        return False
    if data.endswith(b"=") or len(data.translate(None, _WHITE_SPACE)) == len(data):
        return True
    word = _WORD.match(data)
    length = len(word[0]) if word else 0
    return length >= _LINE and length % 4 == 0 and _are_lines(data, length)


def _are_lines(data: bytes, length: int) -> bool:
    """Return true if all words have this length, and the last one at most this length."""
    return re.fullmatch(rb"(?:\S{%d}\s++)*+\S{1,%d}" % (length, length), data) is not None


def _is_in_doubt(encoded: bytes) -> bool:
    """Return true for a short text without padding, such as `12345678`, that does not decode to a text."""
    if len(encoded) > _DOUBTFUL or encoded.endswith(b"="):
        return False
    try:
        return _CONTROL.search(binascii.a2b_base64(encoded).decode()) is not None
    except UnicodeDecodeError:
        return True


def canonical(text: str) -> bytes | None:
    """Return strict base64 without white space (RFC 4648 §4), or None. It is not decoded, which would be slower."""
    if not text.isascii():
        return None
    data = text.encode("ascii").translate(None, _WHITE_SPACE)
    digits = data.rstrip(b"=")
    if len(data) % 4 or len(data) - len(digits) > 2 or digits.translate(None, _ALPHABET):
        return None
    last = binascii.b2a_base64(binascii.a2b_base64(data[-4:]), newline=False)
    return data if data.endswith(last) else data[:-4] + last  # unused bits of the last digit are set to zero


def _from_url(text: str) -> Content | None:
    """Return the content of a data: URL, or None if it is none. Of its parameters only the charset is used."""
    comma = text.find(",", 0, _URL_HEAD)
    if comma < 0:
        return None
    media_type, *settings = (part.strip() for part in text[len("data:") : comma].split(";"))
    if media_type and message.content_type(media_type)[0] != media_type.lower():
        return None
    is_base64 = bool(settings) and settings[-1].lower() == "base64"
    charset = next((found[1] for setting in settings if (found := _CHARSET.fullmatch(setting))), "")
    if not media_type and not is_base64:
        media_type, charset = "text/plain", charset or "us-ascii"  # RFC 2397 §2
    data = text[comma + 1 :].encode()
    if b"%" in data:
        data = b"".join(unquote_to_bytes(units[0]) for units in _URL_UNITS.finditer(data))
    encoded = _padded(data) if is_base64 else binascii.b2a_base64(data, newline=False)
    if encoded is None:
        raise _refuse(_BAD_URL)
    return Content(encoded, f"{media_type}; charset={charset}" if media_type and charset else media_type)


def _padded(data: bytes) -> bytes | None:
    """Return the base64 of a data: URL as browsers read it: the padding may be missing."""
    digits = data.translate(None, _WHITE_SPACE).rstrip(b"=")
    return canonical((digits + b"=" * (-len(digits) % 4)).decode()) if digits.isascii() else None


def _bytes_from_numbers(values: list[Any]) -> bytearray:
    """Convert numbers to bytes in blocks, to avoid a copy of a long list."""
    found = bytearray()
    for start in range(0, len(values), _BLOCK):
        found += _block(values[start : start + _BLOCK])
    return found


def _block(values: list[Any]) -> bytes:
    if float in (kinds := set(map(type, values))):  # 35.0 is a whole number in JSON too
        values = [int(value) if type(value) is float and value.is_integer() else value for value in values]
        kinds = set(map(type, values))
    if not kinds <= {int}:
        raise _refuse("The list contains something that is no whole number; bytes are numbers from 0 to 255.")
    try:
        return bytes(values)
    except ValueError:
        raise _refuse("The list contains a number that is no byte; bytes are numbers from 0 to 255.") from None
