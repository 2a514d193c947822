"""UUIDv7 (RFC 9562 §5.7) that never go backwards in one process. Python's uuid has them from 3.14 on."""

import os
from uuid import UUID

from app.clock import Clock

_VERSION = 7 << 76
_VARIANT = 0b10 << 62
_COUNTER = 0xFFF  # 12 bits after the milliseconds count what falls into the same one (method 1 of §6.2)
_RANDOM = (1 << 62) - 1


class Ids:
    """Hands out message ids in the order of acceptance."""

    __slots__ = ("_clock", "_last")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def new(self) -> UUID:
        """The next id. When the clock stands or goes back, the counter goes on, and at last the milliseconds."""
        self._last = max(int(self._clock.now() * 1000) << 12, self._last + 1)
        milliseconds, counter = self._last >> 12, self._last & _COUNTER
        random = int.from_bytes(os.urandom(8)) & _RANDOM
        return UUID(int=milliseconds << 80 | _VERSION | counter << 64 | _VARIANT | random)
