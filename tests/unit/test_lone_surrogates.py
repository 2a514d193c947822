"""Lone surrogates in JSON text become U+FFFD, and nothing else changes, compared with Python's own JSON parser."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.http.body import without_lone_surrogates

PIECES = [
    r"\ud83d",
    r"\uDE00",
    r"\ud83d\ude00",
    r"\\",
    r"\"",
    r"\n",
    r"\u0041",
    r"\ufffd",
    "ü",
    "x",
    "u",
    "d83d",
    r"\uD7ff",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_string(inside: str) -> None:
    """Pairs stay, halves are replaced, escaped backslashes are no escapes."""
    raw = f'{{"a": ["{inside}"]}}'.encode()
    meant = json.loads(raw)["a"][0]
    repaired = without_lone_surrogates(raw)
    assert (repaired is None) is (re.search("[\ud800-\udfff]", meant) is None)
    read = json.loads(repaired or raw)["a"][0]
    assert read == re.sub("[\ud800-\udfff]", "\ufffd", meant)
    assert len(repaired or raw) == len(raw)


@pytest.mark.parametrize("raw", [b"", b"{", rb'"\ud8', rb'"\udZZZ"', rb'"\ud83', b'"\xed\xa0\x80"', rb"\\ud83d"])
def test_invalid_json_is_unchanged(raw: bytes) -> None:
    """The parser reports its error."""
    assert without_lone_surrogates(raw) is None
