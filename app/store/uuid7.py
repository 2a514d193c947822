"""UUIDv7 (RFC 9562 §5.7), which sort by the moment, for what the store itself writes down. Emails come with theirs."""

from itertools import count
from random import Random
from uuid import UUID

_random = Random()  # noqa: S311 - it tells rows apart, it keeps no secret
_numbers = count()
_VERSION, _VARIANT, _COUNTER = 7 << 76, 0b10 << 62, 0xFFF


def new(at: float) -> UUID:
    """One of that moment (epoch seconds). Within a millisecond 12 bits count, so that a process's own stay in order."""
    return of(floor(at).int >> 80, next(_numbers), _random.getrandbits(62))


def of(milliseconds: int, counter: int, random: int) -> UUID:
    """From its parts: 48 bits of milliseconds, 12 that count within one (method 1 of §6.2), 62 by chance."""
    return UUID(int=milliseconds << 80 | _VERSION | (counter & _COUNTER) << 64 | _VARIANT | random)


def floor(at: float) -> UUID:
    """The least of that moment and later."""
    return UUID(int=max(0, int(at * 1000)) << 80)
