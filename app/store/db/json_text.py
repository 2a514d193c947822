"""JSON of the columns: compact, in ASCII."""

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
