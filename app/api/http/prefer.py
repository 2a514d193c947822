"""Prefer header (RFC 7240): `wait` is supported, other preferences are ignored, as §2 requires."""

import re

from starlette.types import Scope

MAX_WAIT = 30  # seconds; a larger value is reduced to it

_MAX_HEADER = 1024  # bytes that are read
# Possessive, and a quoted string without an end goes to the end of the value: linear in its length.
_PREFERENCE = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.?)*+(?:"|\Z))++', re.DOTALL)
_SECONDS = re.compile(rb'"?([0-9]{1,9})"?')


def wait_seconds(scope: Scope) -> int | None:
    """Return the seconds of the first `wait`, at most MAX_WAIT; None without one, or if it is no whole number."""
    given = b",".join(value for name, value in scope["headers"] if name == b"prefer")
    for preference in _PREFERENCE.findall(given[:_MAX_HEADER]):
        name, _, value = preference.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), MAX_WAIT) if seconds else None
    return None
