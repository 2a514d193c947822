"""A value that is made when it is asked for, kept for a while, and made once for all who ask. Knows no subject."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CachedResult(Generic[T]):
    """What `make` gives, not older than `seconds`. A failure is kept as long: it is no reason to ask again at once."""

    def __init__(self, make: Callable[[], Awaitable[T]], seconds: float, monotonic: Callable[[], float]) -> None:
        self._compute_value = make
        self._seconds = seconds
        self._now = monotonic
        self._result: asyncio.Future[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """The value, or the exception of `make`. Who gives up waiting does not end it for the others."""
        if self._result is None or (self._result.done() and self._now() >= self._until):
            self._result = asyncio.ensure_future(self._compute())
            self._result.add_done_callback(_ignore_result)
        return await asyncio.shield(self._result)

    def close(self) -> None:
        """End what is under way."""
        if self._result is not None:
            self._result.cancel()

    async def _compute(self) -> T:
        try:
            return await self._compute_value()
        finally:  # before anybody can see that it is done
            self._until = self._now() + self._seconds


def _ignore_result(made: asyncio.Future[Any]) -> None:
    """Else asyncio complains of an exception when nobody waits any more."""
    if not made.cancelled():
        made.exception()
