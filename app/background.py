"""Supervised loop that repeats one step, its task, and a wait for an event with a timeout.

A bug in the step or a database error is logged and does not end the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from app import logs
from app.store import StoreUnavailableError

Step = Callable[[], Awaitable[float | None]]


async def run_periodically(
    name: str,
    step: Step,
    *,
    interval: float,
    pause: float = 0.0,
    wake: asyncio.Event | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run `step` now and then every `interval` real seconds, until it is cancelled or `stopping` is true.

    A step that returns seconds is repeated after those instead. `wake` ends the wait early, but not within `pause`
    real seconds. `name` is in the log of a failure.
    """
    while not stopping():
        if wake is not None:
            wake.clear()
        delay = await _supervised(name, step)
        if not stopping():
            await _wait(interval if delay is None else delay, pause, wake)


def run_until_closed(stack: AsyncExitStack, loop: Coroutine[Any, Any, None]) -> None:
    """Run `loop` in a task, which is cancelled and waited for when the stack is closed."""
    task = asyncio.create_task(loop)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, at most `seconds`; return True if it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _supervised(name: str, step: Step) -> float | None:
    try:
        return await step()
    except StoreUnavailableError as error:
        logs.store_failed(name, error)
    except Exception as error:  # a bug must not end the loop
        logs.crashed(name, error)
    return None


async def _wait(seconds: float, pause: float, wake: asyncio.Event | None) -> None:
    if wake is None:
        await asyncio.sleep(seconds)
        return
    if pause:
        await asyncio.sleep(min(seconds, pause))
    if seconds > pause:
        await wait(wake, seconds - pause)
