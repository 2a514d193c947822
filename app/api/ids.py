"""UUIDv7 (RFC 9562 §5.7) that never go backwards in one process. Python's uuid has them from 3.14 on."""

import os
import struct
from collections.abc import Iterator
from uuid import UUID

from app.clock import Clock

_VERSION = 7 << 76
_VARIANT = 0b10 << 62
_COUNTER = 0xFFF  # 12 bits after the milliseconds count what falls into the same one (method 1 of §6.2)
_RANDOM = (1 << 62) - 1


class Ids:
    """Hands out message ids in the order of acceptance."""

    __slots__ = ("_clock", "_last", "_words")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._words = _random_words()

    def new(self) -> UUID:
        """The next id. When the clock stands or goes back, the counter goes on, and at last the milliseconds."""
        self._last = max(int(self._clock.now() * 1000) << 12, self._last + 1)
        milliseconds, counter = self._last >> 12, self._last & _COUNTER
        random = next(self._words) & _RANDOM
        return UUID(int=milliseconds << 80 | _VERSION | counter << 64 | _VARIANT | random)


def _random_words() -> Iterator[int]:
    """64 bits each. Taken from the system in stock: each call hands the interpreter to the store's thread."""
    while True:
        for (word,) in struct.iter_unpack("Q", os.urandom(2048)):
            yield word
