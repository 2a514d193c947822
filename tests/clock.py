"""Event loop and clocks for tests that wait for hours: time stops while there is work and jumps to the next timer.

A clock that runs faster by a factor makes a busy machine late: 10 ms without a processor are 18 s at 1800 times. This
event loop has its own time. It is idle when no callback is ready, no socket is readable and no thread works for it;
only then its time moves, straight to its next timer (Trio calls that an autojump clock). Everything that waits by
`asyncio` waits by this time: sleeps, timeouts, the simulator's idle sessions. Peers of the loop must be in its process:
loopback delivers at once, so a socket that is not readable has no data in transit.
"""

import asyncio
import functools
import inspect
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from app.clock import Clock
from app.store.db.writer import Writer

LOOP_TURN = 1e-6  # seconds that a turn of the loop takes: else a sleep below the resolution of a float would not end
MAX_JUMP = 1.0  # seconds, so that a mistake about silence costs no more
MAX_THREAD_WAIT = 1.0  # real seconds in which a thread's work is done, or it waits for a timer itself

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


class _AutojumpSelector(selectors.DefaultSelector):
    """Selector that waits in the loop's own time."""

    now = 0.0
    working: Callable[[], bool]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready events. If none is ready, advance the time by `timeout` without waiting."""
        self.now += LOOP_TURN
        if timeout is None or timeout <= 0:  # no timer is set, or there is more to do at once
            return super().select(timeout)
        ready = super().select(MAX_THREAD_WAIT if self.working() else 0.0)
        if not ready:
            self.now += min(timeout, MAX_JUMP)
        return ready


class AutojumpLoop(asyncio.SelectorEventLoop):
    """Event loop whose `time` stops while there is work."""

    def __init__(self) -> None:
        self._autojump = _AutojumpSelector()
        self._autojump.working = self._working
        self._in_threads: set[asyncio.Future[Any]] = set()
        self._writers: set[Writer] = set()
        super().__init__(self._autojump)

    def time(self) -> float:
        """Return the seconds since this loop began."""
        return self._autojump.now

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future. One of the store's writer counts as work in its thread, which the loop cannot see."""
        future: asyncio.Future[Any] = super().create_future()
        frame = inspect.currentframe()
        if frame and frame.f_back and frame.f_back.f_code is Writer.write.__code__:
            self._writers.add(frame.f_back.f_locals["self"])
            self._count(future)
        return future

    def run_in_executor(  # type: ignore[override]  # typeshed's parameters differ between versions
        self, executor: Executor | None, func: Callable[..., A], *args: Any
    ) -> asyncio.Future[A]:
        """Run work in a thread and count it."""
        future: asyncio.Future[A] = super().run_in_executor(executor, func, *args)
        self._count(future)
        return future

    def _working(self) -> bool:
        """Return whether a thread has work. A batchable write waits in the loop's time until it is handed over."""
        return bool(self._in_threads - {item.future for writer in self._writers for item in writer._batchable})

    def _count(self, future: asyncio.Future[Any]) -> None:
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)


def _running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@dataclass(frozen=True)
class LoopClock(Clock):
    """Clock of epoch seconds that runs `speed` times as fast as the running loop's time."""

    loop: asyncio.AbstractEventLoop = field(default_factory=_running)

    def now(self) -> float:
        """Epoch seconds of this clock."""
        return self.origin + self.monotonic()

    def monotonic(self) -> float:
        """Seconds of this clock since its loop began."""
        return self.loop.time() * self.speed

    async def advance(self, seconds: float) -> None:
        """Let `seconds` of this clock pass on an AutojumpLoop."""
        await advance(seconds / self.speed)


class JumpingClock(LoopClock):
    """Clock that a test sets. Its `monotonic` is not affected."""

    ahead = 0.0

    def now(self) -> float:
        """Epoch seconds, as wrong as they are."""
        return super().now() + self.ahead

    def jump(self, seconds: float) -> None:
        """Set it."""
        object.__setattr__(self, "ahead", self.ahead + seconds)  # a clock is frozen, but for this


async def advance(seconds: float) -> None:
    """Let the time of an AutojumpLoop pass, in which nothing is expected to happen, or something becomes due."""
    assert isinstance(asyncio.get_running_loop(), AutojumpLoop)
    await asyncio.sleep(max(0.0, seconds))


def autojump(test: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Run an async test on an AutojumpLoop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with asyncio.Runner(loop_factory=AutojumpLoop) as runner:
            return runner.run(test(*args, **kwargs))

    return run
