"""Header fields of a request; times in responses.

Idempotency-Key: the store has the responses of earlier requests. Only a success uses a key: a refused request can be
corrected and sent again with the same key. Prefer (RFC 7240): `wait` is supported, other preferences are ignored, as §2
requires.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from starlette.types import Scope

from app.api.problems.problem import IdempotencyInFlight, InvalidIdempotencyKey
from app.mail.times import iso

FIELDS = "postern.fields"  # key in the scope of a request: the first value of each header field, by name in lower case
_KEY = re.compile(rb"[ -~]{1,256}")
MAX_WAIT = 30  # seconds; a larger value is reduced to it
_MAX_PREFER = 1024  # bytes that are read
# Possessive, and a quoted string without an end goes to the end of the value: linear in its length.
_PREFERENCE = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.?)*+(?:"|\Z))++', re.DOTALL)
_SECONDS = re.compile(rb'"?([0-9]{1,9})"?')


def timestamp(seconds: float | None) -> str | None:
    """Return epoch seconds in RFC 3339, or None."""
    return None if seconds is None else iso(seconds)


def idempotency_key(given: bytes) -> str:
    """Read the value of Idempotency-Key. Raises InvalidIdempotencyKey."""
    if not _KEY.fullmatch(given):
        raise InvalidIdempotencyKey
    return given.decode("ascii")


class InFlightKeys:
    """Idempotency-Keys in use by requests of this process. Between processes the store's unique row decides."""

    def __init__(self) -> None:
        self._held: set[tuple[UUID, str, str]] = set()

    @contextmanager
    def hold(self, key_id: UUID, endpoint: str, key: str) -> Iterator[None]:
        """Hold the key during the request. Raises IdempotencyInFlight if another request holds it."""
        mark = (key_id, endpoint, key)
        if mark in self._held:
            raise IdempotencyInFlight
        self._held.add(mark)
        try:
            yield
        finally:
            self._held.discard(mark)


def wait_seconds(scope: Scope) -> int | None:
    """Return the seconds of the first `wait` of Prefer, at most MAX_WAIT; None without one or a whole number."""
    given = b",".join(value for name, value in scope["headers"] if name == b"prefer")
    for preference in _PREFERENCE.findall(given[:_MAX_PREFER]):
        name, _, value = preference.partition(b";")[0].partition(b"=")
        if name.strip().lower() == b"wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), MAX_WAIT) if seconds else None
    return None
