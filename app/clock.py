"""The wall clock as a value that is passed in. Never read it elsewhere: compressed time in tests hangs on that."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """Epoch seconds that run `speed` times as fast as the machine's, counted from `origin` (epoch seconds)."""

    speed: float = 1.0
    origin: float = field(default_factory=time.time)

    def now(self) -> float:
        """Epoch seconds of this clock."""
        return self.origin + (time.time() - self.origin) * self.speed

    def monotonic(self) -> float:
        """Seconds of this clock that never jump, for intervals inside one process."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)
