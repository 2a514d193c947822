"""UUIDv7 (RFC 9562 §5.7), which sort by the moment, for what the store itself writes down. Emails come with theirs."""

from itertools import count
from random import Random
from uuid import UUID

_random = Random()  # noqa: S311 - it tells rows apart, it keeps no secret
_numbers = count()
_VERSION, _VARIANT = 7 << 76, 0b10 << 62


def new(at: float) -> UUID:
    """One of that moment (epoch seconds). Within a millisecond 12 bits count, so that a process's own stay in order."""
    return UUID(int=floor(at).int | _VERSION | (next(_numbers) & 0xFFF) << 64 | _VARIANT | _random.getrandbits(62))


def floor(at: float) -> UUID:
    """The least of that moment and later."""
    return UUID(int=max(0, int(at * 1000)) << 80)
