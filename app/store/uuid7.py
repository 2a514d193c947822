"""UUIDv7 (RFC 9562 §5.7), which sort by the moment, for what the store itself writes down. Emails come with theirs."""

from random import Random
from uuid import UUID

_random = Random()  # noqa: S311 - it tells rows apart, it keeps no secret
_VERSION, _VARIANT = 7 << 76, 0b10 << 62


def new(at: float) -> UUID:
    """One of that moment (epoch seconds). Within a millisecond they have no order."""
    bits = _random.getrandbits(74)
    return UUID(int=floor(at).int | _VERSION | (bits >> 62) << 64 | _VARIANT | bits & (1 << 62) - 1)


def floor(at: float) -> UUID:
    """The least of that moment and later."""
    return UUID(int=max(0, int(at * 1000)) << 80)
