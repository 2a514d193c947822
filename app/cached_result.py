"""Cached result of an async function, with single flight: concurrent callers share one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CachedResult(Generic[T]):
    """Result of `compute`, at most `seconds` old; a failure is cached as well. With 0 seconds only calls are shared."""

    def __init__(self, compute: Callable[[], Awaitable[T]], seconds: float, monotonic: Callable[[], float]) -> None:
        self._compute_value = compute
        self._seconds = seconds
        self._now = monotonic
        self._result: asyncio.Future[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """Return the value or raise the exception of `compute`. Cancelling one caller does not cancel the call."""
        if self._result is None or (self._result.done() and self._now() >= self._until):
            self._result = asyncio.ensure_future(self._compute())
            self._result.add_done_callback(_ignore_result)
        return await asyncio.shield(self._result)

    def close(self) -> None:
        """Cancel the call under way."""
        if self._result is not None:
            self._result.cancel()

    async def _compute(self) -> T:
        try:
            return await self._compute_value()
        finally:  # before the result is visible
            self._until = self._now() + self._seconds


def _ignore_result(call: asyncio.Future[Any]) -> None:
    """Retrieve the exception, else asyncio logs it when no caller waits."""
    if not call.cancelled():
        call.exception()
