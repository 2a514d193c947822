"""Retry-After (RFC 9110 §10.2.3): for how long a server asks a client to wait. Pure, and total: no value raises."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_LONGEST = 64  # characters; an HTTP date has 29
_DIGITS = 9  # of a number of seconds: 30 years


def from_number(value: str) -> float | None:
    """Seconds from the form that is a number; None for anything else."""
    value = value.strip()
    return float(value[:_DIGITS]) if value.isascii() and value.isdecimal() else None


def from_header(value: str, now: float) -> float:
    """Seconds, at least 0, from a number or an HTTP date; 0 for what is neither. `now` is in epoch seconds."""
    value = value[: _LONGEST + 1].strip()
    number = from_number(value)
    if number is not None:
        return number
    if len(value) > _LONGEST:
        return 0.0
    try:
        date = parsedate_to_datetime(value)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0  # the standard library's parser raises each of them for some text
    return max(0.0, seconds)
