"""Request bodies: received within limits of size, memory and time, and parsed as strict JSON (RFC 8259).

Memory is reserved for received bytes, not for the announced length, and a body has a minimum rate. A compressed body is
refused, and the API key is checked again after a slow one. The Content-Type is not read.

Python needs up to 40 times the bytes of a JSON text such as `[{},{},…]`, so the number of values is checked on the
bytes before an object is made, in linear time and without memory that grows with the text.

The meaning of a lone surrogate such as `"\\ud83d"`, half of a character that the caller cut, is left open by RFC 8259
§8.2. In an email each becomes U+FFFD, on the bytes, in linear time and with one copy of the text at most.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.types import Receive, Scope

from app.api.auth.authenticator import KEY_CHECKED_FOR
from app.api.auth.limits import UNRESERVED_SIZE, memory_budget
from app.api.context import RequestLimits
from app.api.http.headers import FIELDS
from app.api.problems.problem import FieldError, Invalid, MalformedBody
from app.api.problems.transport import BodyTooLarge, RequestBodyTimeout, TooManyValues, UnsupportedCoding
from app.http_server.server import TAKE_BODY

_CODINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}  # with the only supported value

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_OR_32 = re.compile(rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff|\x00{0,3}[\t\n\r -~]\x00|\x00{1,3}[\t\n\r -~]")
_UTF32 = re.compile(rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff|\x00{3}[\t\n\r -~]|[\t\n\r -~]\x00{3}")
_COMPRESSED = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|\x78[\x01\x5e\x9c\xda]")  # gzip, zstd, zlib
_FORM = re.compile(rb"[A-Za-z0-9_.%+\[\]-]{1,100}=")
_LONGEST_PLACE = 200  # characters
_PIECE = 64 * 1024  # characters of a text, or numbers of a list, that are encoded at once

CHECKED_FROM = 256 * 1024  # bytes of a text; what fewer bytes can hold needs a few MiB at most
MAX_VALUES = 200_000  # strings (member names, too), objects, lists, and numbers but those from 0 to 255
MAX_BYTES_AS_NUMBERS = 16 * 2**20  # numbers from 0 to 255, of which a file can be sent as a list: 8 bytes each

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)  # to the end of the text if it is not closed
_COSTLY = re.compile(rb"[\[{.eE-]|[3-9][0-9]{2}|2(?:[6-9][0-9]|5[6-9])|[0-9]{4}")  # `e` stands in true and false, too
_PARSED_DEPTH = 200  # levels of nesting, at which the parser stops
_STEP = 64 * 1024  # bytes that are searched at once, so that other threads can run between

_REPLACEMENT = rb"\ufffd"  # as long as what it replaces
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Runs without a backslash, pairs, and every other escape, up to a run of lone surrogates. Nothing is matched twice.
_NEXT_LONE = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|%b%b)*+((?:%b|%b(?!%b))++)" % (_HIGH, _LOW, _LOW, _HIGH, _LOW), re.DOTALL
)


async def read(request: Request, limits: RequestLimits, most: int | None = None) -> bytes | bytearray:
    """Return the whole body; `most` replaces the usual limit in bytes. Raises BodyTooLarge, BodyBudgetExhausted (both
    before reading, if the length is announced), UnsupportedCoding, RequestBodyTimeout, MalformedBody, and InvalidKey if
    the API key was revoked meanwhile."""
    scope, limit = request.scope, most or limits.max_body_bytes
    _check_codings(scope)
    if TAKE_BODY in scope:  # the usual case; a timer would cost more than the reading
        body: bytes | bytearray = scope[TAKE_BODY]()
        _reserve(scope, len(body), limit, more=False)
        return body
    declared = scope[FIELDS].get(b"content-length", b"")
    if declared.isdigit():
        unread = b"expect" not in scope[FIELDS]
        if int(declared) > limit:
            raise BodyTooLarge(limit, unread=unread)
        memory_budget(scope).check_available(scope, int(declared), unread)
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(min(limits.body_seconds, limits.body_grace_seconds)) as timer:
            body = await _collect(request.receive, limit, scope, partial(_extend, timer, began, limits))
    except TimeoutError:
        raise RequestBodyTimeout(limits.body_seconds, limits.body_bytes_per_second) from None
    if now() - began >= KEY_CHECKED_FOR:
        await scope["caller"].check_again()
    return body


def _extend(timer: asyncio.Timeout, began: float, limits: RequestLimits, size: int) -> None:
    """Extend the deadline to the time that so many bytes take at the minimum rate."""
    allowed = limits.body_grace_seconds + size / limits.body_bytes_per_second
    timer.reschedule(began + min(limits.body_seconds, allowed))


def _check_codings(scope: Scope) -> None:
    """Raise UnsupportedCoding if the header fields announce a compressed body."""
    if _CODINGS.keys().isdisjoint(scope[FIELDS]):
        return
    for name, value in scope["headers"]:
        if name in _CODINGS and value.strip().lower() not in (b"", _CODINGS[name]):
            field, given = name.decode().title(), value.decode("latin-1")[:100]
            raise UnsupportedCoding(
                f"The request has the header {field}: {given}. Send the body uncompressed, without that header.",
                unread=TAKE_BODY not in scope,
            )


async def _collect(receive: Receive, limit: int, scope: Scope, arrived: Callable[[int], None]) -> bytes | bytearray:
    body: bytes | bytearray = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise MalformedBody("The connection ended before the whole body had arrived.")
        more = event.get("more_body", False)
        chunk = event.get("body", b"")
        size = len(body) + len(chunk)
        _reserve(scope, size, limit, more=more)
        arrived(size)
        if isinstance(body, bytearray):
            body += chunk
        else:  # most bodies are one chunk and not copied
            body = bytearray(body + chunk) if body else chunk
    return body


def _reserve(scope: Scope, size: int, limit: int, *, more: bool) -> None:
    """Reserve the bytes that have arrived. `more`: some have not. Raises BodyTooLarge, BodyBudgetExhausted."""
    if size > limit:
        raise BodyTooLarge(limit, unread=more)
    if size > UNRESERVED_SIZE:
        memory_budget(scope).reserve(scope, size, more)


def parse(raw: bytes | bytearray) -> Any:
    """Return the value. Raises MalformedBody, TooManyValues, or Invalid if a text in it is not Unicode.

    Nesting is bounded by the parser (200 levels), and so are the digits of a number. A byte order mark is skipped, as
    RFC 8259 §8.1 permits.
    """
    try:
        return _value(raw)
    except ValueError as error:
        if "hex escape" in str(error):
            _name_surrogate(raw)
        raise MalformedBody(_sentence(raw, error)) from None


def parse_email(raw: bytes | bytearray) -> tuple[Any, bool]:
    """Return the value, and whether lone surrogates in it were replaced by U+FFFD. Raises as `parse` does."""
    try:
        return _value(raw), False
    except ValueError:
        repaired = without_lone_surrogates(raw)
        return (parse(raw), False) if repaired is None else (parse(repaired), True)


def _value(raw: bytes | bytearray) -> Any:
    """Return the value. Raises TooManyValues, and ValueError for what is no JSON."""
    if len(raw) > CHECKED_FROM:
        check_values(raw)
    return from_json(raw[3:] if raw[:3] == _UTF8_MARK else raw, allow_inf_nan=False)


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


def check_values(raw: bytes | bytearray) -> None:
    """Raise TooManyValues if the text has more values than the bounds."""
    values = numbers = depth = 0
    for start, end in _between_strings(raw):
        values += 1 + len(_COSTLY.findall(raw, start, end))  # the string that follows, and what stands before it
        numbers += raw.count(b",", start, end)
        if values > MAX_VALUES or numbers > MAX_BYTES_AS_NUMBERS:
            raise TooManyValues(MAX_VALUES, MAX_BYTES_AS_NUMBERS)
        depth += raw.count(b"[", start, end) + raw.count(b"{", start, end)
        depth -= raw.count(b"]", start, end) + raw.count(b"}", start, end)
        if depth > _PARSED_DEPTH:  # the parser stops here
            return


def _between_strings(raw: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes before, between and after the strings, in steps."""
    position = 0
    for string in _STRING.finditer(raw):
        yield from _steps(position, string.start())
        position = string.end()
    yield from _steps(position, len(raw))


def _steps(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _STEP:
        yield start, start + _STEP
        start += _STEP
    yield start, end


def without_lone_surrogates(raw: bytes | bytearray) -> bytearray | None:
    """Return the text with U+FFFD for each lone surrogate; None if it has none."""
    if rb"\ud" not in raw and rb"\uD" not in raw:
        return None
    found = _NEXT_LONE.match(raw)
    if found is None:
        return None
    text = bytearray(raw)
    while found is not None:
        text[found.start(1) : found.end()] = _REPLACEMENT * ((found.end() - found.start(1)) // len(_REPLACEMENT))
        found = _NEXT_LONE.match(raw, found.end())
    return text
