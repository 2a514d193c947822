"""JSON of request bodies (RFC 8259), whatever their Content-Type: strict parsers and a digest. Validates no field."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from pydantic_core import from_json

from app.api.http import json_limits
from app.api.http.lone_surrogates import without_lone_surrogates
from app.api.problems.problem import FieldError, Invalid, MalformedBody

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_OR_32 = re.compile(rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff|\x00{0,3}[\t\n\r -~]\x00|\x00{1,3}[\t\n\r -~]")
_UTF32 = re.compile(rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff|\x00{3}[\t\n\r -~]|[\t\n\r -~]\x00{3}")
_COMPRESSED = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|\x78[\x01\x5e\x9c\xda]")  # gzip, zstd, zlib
_FORM = re.compile(rb"[A-Za-z0-9_.%+\[\]-]{1,100}=")
_LONGEST_PLACE = 200  # characters
_PIECE = 64 * 1024  # characters of a text, or numbers of a list, that are encoded at once


def parse(raw: bytes | bytearray) -> Any:
    """Return the value. Raises MalformedBody, TooManyValues, or Invalid if a text in it is not Unicode.

    Nesting is bounded by the parser (200 levels), and so are the digits of a number. A byte order mark is skipped, as
    RFC 8259 §8.1 permits.
    """
    if len(raw) > json_limits.CHECKED_FROM:
        json_limits.check(raw)
    if raw[:3] == _UTF8_MARK:
        raw = raw[3:]
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if "hex escape" in str(error):
            _name_surrogate(raw)
        raise MalformedBody(_sentence(raw, error)) from None


def parse_email(raw: bytes | bytearray) -> tuple[Any, bool]:
    """Return the value, and whether lone surrogates in it were replaced by U+FFFD. Raises as `parse` does."""
    repaired = without_lone_surrogates(raw)
    return (parse(raw), False) if repaired is None else (parse(repaired), True)


def canonical_digest(value: Any) -> bytes:
    """Return the SHA-256 of the value, independent of white space and of the order of members."""
    digest = sha256()
    for piece in _canonical(value):
        digest.update(piece.encode())
    return digest.digest()


def _canonical(value: Any) -> Iterator[str]:
    """Yield the JSON text in pieces, because a large escaped text would take six times its characters."""
    if isinstance(value, str):
        yield quoted(value) if len(value) <= _PIECE else '"'
        if len(value) > _PIECE:
            for at in range(0, len(value), _PIECE):
                yield quoted(value[at : at + _PIECE])[1:-1]
            yield '"'
    elif isinstance(value, dict) and value:
        opening = "{"
        for name in sorted(value):
            yield f"{opening}{quoted(name)}:"
            yield from _canonical(value[name])
            opening = ","
        yield "}"
    elif isinstance(value, list) and value:
        yield from _canonical_list(value)
    else:
        yield json.dumps(value)


def _canonical_list(value: list[Any]) -> Iterator[str]:
    opening = "["
    for at in range(0, len(value), _PIECE):
        piece = value[at : at + _PIECE]
        if {int, float}.issuperset(map(type, piece)):
            yield opening + json.dumps(piece, separators=(",", ":"))[1:-1]
            opening = ","
            continue
        for item in piece:
            yield opening
            yield from _canonical(item)
            opening = ","
    yield "]"


def _sentence(raw: bytes | bytearray, error: ValueError) -> str:
    start = bytes(raw[:200])
    if not raw.strip():
        return (
            'The request body is empty. Send JSON in it, such as {"from": "…", "to": "…", "subject": "…", "text": "…"}.'
        )
    if _UTF16_OR_32.match(start):
        name = "UTF-32" if _UTF32.match(start) else "UTF-16"
        return f"The request body is encoded in {name}. Send JSON in UTF-8."
    if _COMPRESSED.match(start):
        return "The request body is compressed. Send it uncompressed."
    if start.lstrip().startswith(b"--") and b"\n" in start:
        return "The request body is a multipart form. Send one JSON object, with files as base64 in `attachments`."
    if _FORM.match(start.lstrip()):
        return "The request body is a form (name=value). Send the fields as one JSON object."
    return f"The request body is not valid JSON in UTF-8: {error}."


def _name_surrogate(raw: bytes | bytearray) -> None:
    """Raise Invalid with the place of a lone surrogate, which Python's own parser accepts."""
    try:
        place = next((place for place, text in _texts(json.loads(raw), "") if not _is_unicode(text)), None)
    except (ValueError, RecursionError):
        return
    if place is not None:
        raise Invalid([FieldError(place, "It contains half of a surrogate pair, which is no character; send UTF-8.")])


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every text in the value with its place, like `to[3]` or `headers.X-Ref`, cut to a bounded length."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place}[{index}]"[:_LONGEST_PLACE])
    elif isinstance(value, dict):
        for name, item in value.items():
            yield place, name
            place_of_item = f"{place}.{name[:_LONGEST_PLACE]}" if place else name[:_LONGEST_PLACE]
            yield from _texts(item, place_of_item[:_LONGEST_PLACE])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
