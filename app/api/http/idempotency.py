"""The Idempotency-Key header: one request, sent again, is one email. What was answered is the store's to remember.

Only a success consumes a key; a request that was refused can be mended and sent again under the same one.
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
    """The header's value, None without the header. Raises InvalidIdempotencyKey."""
    given = header(request.scope, b"idempotency-key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise InvalidIdempotencyKey
    return given.decode("ascii")


class InFlight:
    """The keys whose requests this process is answering. Between processes the store's unique row decides."""

    def __init__(self) -> None:
        self._held: set[tuple[UUID, str, str]] = set()

    @contextmanager
    def hold(self, key_id: UUID, endpoint: str, key: str) -> Iterator[None]:
        """While the request is answered. Raises IdempotencyInFlight if another one holds the key."""
        mark = (key_id, endpoint, key)
        if mark in self._held:
            raise IdempotencyInFlight
        self._held.add(mark)
        try:
            yield
        finally:
            self._held.discard(mark)
