"""Lone surrogates in JSON text, such as `"\\ud83d"`: half of a character outside the basic plane, cut by the caller.

RFC 8259 §8.2 leaves their meaning open. Here each becomes U+FFFD, on the bytes, before anything is parsed: in linear
time and with one copy of the text at most.
"""

import re

_REPLACEMENT = rb"\ufffd"  # as long as what it replaces
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Runs without a backslash, pairs, and every other escape, up to a run of lone surrogates. Nothing is matched twice.
_NEXT = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|%b%b)*+((?:%b|%b(?!%b))++)" % (_HIGH, _LOW, _LOW, _HIGH, _LOW), re.DOTALL
)


def without_lone_surrogates(raw: bytes | bytearray) -> bytearray | None:
    """Return the text with U+FFFD for each lone surrogate; None if it has none."""
    if rb"\ud" not in raw and rb"\uD" not in raw:
        return None
    found = _NEXT.match(raw)
    if found is None:
        return None
    text = bytearray(raw)
    while found is not None:
        text[found.start(1) : found.end()] = _REPLACEMENT * ((found.end() - found.start(1)) // len(_REPLACEMENT))
        found = _NEXT.match(raw, found.end())
    return text
