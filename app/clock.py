"""Wall and monotonic clock as a value that is passed in, so that tests control the time.

Times of log lines and spans, and intervals in real seconds, do not use it.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clock:
    """Epoch seconds that run `speed` times as fast as the machine's, counted from `origin` (epoch seconds)."""

    speed: float = 1.0
    origin: float = field(default_factory=time.time)

    def now(self) -> float:
        """Epoch seconds of this clock."""
        return self.origin + (time.time() - self.origin) * self.speed

    def monotonic(self) -> float:
        """Seconds of this clock that never jump, for intervals; the same in all processes of one `boot`."""
        return time.monotonic() * self.speed

    @property
    def boot(self) -> str:
        """Id of the machine's boot that `monotonic` counts from. Empty: unknown."""
        return _boot_id()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)


@cache
def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""
