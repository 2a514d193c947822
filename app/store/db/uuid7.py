"""New ids, the lower bound of the ids of a time, and the time of an id.

All ids are UUIDv7 (RFC 9562 §5.7), because they sort by age. Python's uuid has them from 3.14 on.
"""

import math
import os
import struct
from collections.abc import Iterator
from itertools import count
from random import Random
from uuid import UUID

_RANDOM = (1 << 62) - 1
_LATEST = (1 << 48) - 1  # milliseconds; 48 bits of an id are the time
_random = Random()  # noqa: S311 - ids of rows need no secrecy
_numbers = count()
_VERSION, _VARIANT, _COUNTER = 7 << 76, 0b10 << 62, 0xFFF


class IdGenerator:
    """Generates message ids in the order of acceptance: they never go backwards in one process."""

    __slots__ = ("_last", "_words")

    def __init__(self) -> None:
        self._last = 0
        self._words = _random_words()

    def new(self, now: float) -> UUID:
        """Return the next id at `now` (epoch seconds): its time is that of `created_at`, to the millisecond.

        While the clock stands still or goes back, the counter grows, and after 4096 ids the milliseconds.
        """
        self._last = max(_milliseconds(now) << 12, self._last + 1)
        return _uuid(self._last >> 12, self._last, next(self._words) & _RANDOM)


def new(at: float) -> UUID:
    """Return an id of `at` (epoch seconds). Ids of one process and millisecond sort in the order of the calls."""
    return _uuid(_milliseconds(at), next(_numbers), _random.getrandbits(62))


def first_at(at: float) -> UUID:
    """Return the lower bound of the ids of `at` (epoch seconds, to the millisecond) and later."""
    return UUID(int=_milliseconds(at) << 80)


def timestamp_of(id_: UUID) -> float:
    """Return the time of an id in epoch seconds, to the millisecond."""
    return (id_.int >> 80) / 1000


def _milliseconds(at: float) -> int:
    fraction, seconds = math.modf(at)  # rounded to microseconds as datetime does, so that both show one time
    return min(max((int(seconds) * 1_000_000 + round(fraction * 1_000_000)) // 1000, 0), _LATEST)


def _random_words() -> Iterator[int]:
    """Yield 64 random bits. The system is asked for many at once, because each call releases the interpreter lock."""
    while True:
        for (word,) in struct.iter_unpack("Q", os.urandom(2048)):
            yield word


def _uuid(milliseconds: int, counter: int, random: int) -> UUID:
    """Return the UUID of 48 bits of milliseconds, a counter of 12 bits (method 1 of §6.2), and 62 random bits."""
    return UUID(int=milliseconds << 80 | _VERSION | (counter & _COUNTER) << 64 | _VARIANT | random)
