"""Wait for a condition that another task, thread or process makes true."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

WAIT_TIMEOUT = 60.0  # seconds of the loop until a wait of a test fails
_GROWTH = 1.5  # of the pause after each check
_MAX_PAUSE = 0.5  # seconds, or _SHARE of what was waited: a check of hours of virtual time costs a request each time
_SHARE = 0.05

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Coroutine[Any, Any, T | None]], timeout: float = ...) -> T: ...
@overload
async def until(condition: Callable[[], T | None], timeout: float = ...) -> T: ...
async def until(condition: Callable[[], Any], timeout: float = WAIT_TIMEOUT) -> Any:
    """Return the first true result of `condition`, which may be async. Raises TimeoutError after `timeout` seconds.

    It is checked in every turn of the loop at first, then less and less often.
    """
    pause, clock = 0.0, asyncio.get_running_loop().time
    began = clock()
    async with asyncio.timeout(timeout):
        while True:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result
            await asyncio.sleep(pause)
            pause = min(_GROWTH * pause + 0.0001, max(_MAX_PAUSE, _SHARE * (clock() - began)))
