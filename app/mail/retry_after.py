"""Parser of the Retry-After header (RFC 9110 §10.2.3). Pure; it raises nothing."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_MAX_LENGTH = 64  # characters; an HTTP date has 29
_MAX_DIGITS = 9  # of a number of seconds, about 30 years


def from_number(value: str) -> float | None:
    """Return the seconds of the numeric form, or None for any other value."""
    value = value.strip()
    return float(value[:_MAX_DIGITS]) if value.isascii() and value.isdecimal() else None


def from_header(value: str, now: float) -> float:
    """Return the seconds (at least 0) of a number or an HTTP date, 0 for any other value. `now` is in epoch seconds."""
    value = value[: _MAX_LENGTH + 1].strip()
    number = from_number(value)
    if number is not None:
        return number
    if len(value) > _MAX_LENGTH:
        return 0.0
    try:
        date = parsedate_to_datetime(value)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0  # the standard library's parser raises each of them for some text
    return max(0.0, seconds)
