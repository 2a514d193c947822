"""From the octets of a body to a JSON value, strictly (RFC 8259), whatever the Content-Type says. Judges no field."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from pydantic_core import from_json

from app.api.errors import Flaw, Invalid, MalformedBody


def parse(raw: bytes | bytearray) -> Any:
    """The value. Raises MalformedBody, or Invalid when the JSON is fine but a text in it is no Unicode.

    Nesting is bounded by the parser (200 levels), and so are the digits of a number.
    """
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if "hex escape" in str(error):
            _name_surrogate(raw)
        raise MalformedBody(f"The request body is not valid JSON in UTF-8: {error}.") from None


def canonical_digest(value: Any) -> bytes:
    """SHA-256 of the value without what carries no meaning: white space and the order of members."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


def _name_surrogate(raw: bytes | bytearray) -> None:
    """Python's own parser lets half a surrogate pair through, so it can tell where it is. Raises Invalid."""
    try:
        place = next((place for place, text in _texts(json.loads(raw.decode()), "") if not _is_unicode(text)), None)
    except (ValueError, RecursionError):
        return
    if place is not None:
        raise Invalid([Flaw(place, "It contains half of a surrogate pair, which is no character; send UTF-8.")])


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in the value with its place, like `to[3]` or `headers.X-Ref`."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{place}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield place, name
            yield from _texts(item, f"{place}.{name}" if place else name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
