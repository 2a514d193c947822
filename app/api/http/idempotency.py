"""Idempotency-Key header: its validation, and the refusal of concurrent requests with the same key.

The store has the responses of earlier requests. Only a success uses a key: a refused request can be corrected and sent
again with the same key.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from starlette.requests import Request

from app.api.http.headers import header
from app.api.problems.problem import IdempotencyInFlight, InvalidIdempotencyKey

_KEY = re.compile(rb"[ -~]{1,256}")


def key_of(request: Request) -> str | None:
    """Return the header's value, None without the header. Raises InvalidIdempotencyKey."""
    given = header(request.scope, b"idempotency-key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise InvalidIdempotencyKey
    return given.decode("ascii")


class InFlight:
    """Keys of the requests in progress in this process. Between processes the store's unique row decides."""

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
