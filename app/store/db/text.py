"""Texts of the columns: compact JSON in ASCII, and texts of servers in a form that every database can store."""

import json
from typing import Any

_JSON = json.JSONEncoder(separators=(",", ":"))
# JSONEncoder makes one of these for each value, which costs more than a small value itself.
_encoder: Any = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None,
    _JSON.default,
    json.encoder.encode_basestring_ascii,
    None,
    _JSON.key_separator,
    _JSON.item_separator,
    _JSON.sort_keys,
    _JSON.skipkeys,
    _JSON.allow_nan,
)


def as_json(value: Any) -> str:
    """Return the text that `json.dumps` gives with these separators."""
    return "".join(_encoder(value, 0))


def storable(text: str) -> str:
    """Return a server's text without what a database refuses: lone surrogates, NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
