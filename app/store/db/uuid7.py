"""UUIDv7 (RFC 9562 §5.7) that never go backwards in one process. Python's uuid has them from 3.14 on."""

import math
import os
import struct
from collections.abc import Iterator
from itertools import count
from random import Random
from uuid import UUID

_RANDOM = (1 << 62) - 1
_LATEST = (1 << 48) - 1  # milliseconds; 48 bits of an id are the time
_random = Random()  # noqa: S311 - it tells rows apart, it keeps no secret
_numbers = count()
_VERSION, _VARIANT, _COUNTER = 7 << 76, 0b10 << 62, 0xFFF


class IdGenerator:
    """Hands out message ids in the order of acceptance."""

    __slots__ = ("_last", "_words")

    def __init__(self) -> None:
        self._last = 0
        self._words = _random_words()

    def new(self, now: float) -> UUID:
        """The next id, at `now` (epoch seconds): its time is that of `created_at`, to the millisecond.

        When the clock stands or goes back, the counter goes on, and at last the milliseconds.
        """
        self._last = max(_milliseconds(now) << 12, self._last + 1)
        return of(self._last >> 12, self._last, next(self._words) & _RANDOM)


def first_at(moment: float) -> UUID:
    """The least id of this moment (epoch seconds, to the millisecond) and later."""
    return UUID(int=min(max(_milliseconds(moment), 0), _LATEST) << 80)


def timestamp_of(id_: UUID) -> float:
    """When the id was given, in epoch seconds, to the millisecond."""
    return (id_.int >> 80) / 1000


def _milliseconds(moment: float) -> int:
    fraction, seconds = math.modf(moment)  # rounded to microseconds as datetime does, so that both show one time
    return (int(seconds) * 1_000_000 + round(fraction * 1_000_000)) // 1000


def _random_words() -> Iterator[int]:
    """64 bits each. Taken from the system in stock: each call hands the interpreter to the store's thread."""
    while True:
        for (word,) in struct.iter_unpack("Q", os.urandom(2048)):
            yield word


def new(at: float) -> UUID:
    """One of that moment (epoch seconds). Within a millisecond 12 bits count, so that a process's own stay in order."""
    return of(floor(at).int >> 80, next(_numbers), _random.getrandbits(62))


def of(milliseconds: int, counter: int, random: int) -> UUID:
    """From its parts: 48 bits of milliseconds, 12 that count within one (method 1 of §6.2), 62 by chance."""
    return UUID(int=milliseconds << 80 | _VERSION | (counter & _COUNTER) << 64 | _VARIANT | random)


def floor(at: float) -> UUID:
    """The least of that moment and later."""
    return UUID(int=max(0, int(at * 1000)) << 80)
