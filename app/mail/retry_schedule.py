"""Retry delays of messages, their lifetime, pauses of mailboxes and webhooks, and the Retry-After header. Pure.

The delay of a message depends on its age, not on the number of attempts (as in Postfix); a pause on the number of
consecutive failures.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

from app.mail.times import DAY, HOUR

FIRST_DELAY = 30.0  # seconds
MAX_DELAY = 1.0 * HOUR  # seconds
JITTER = 0.2  # share of the delay, so that messages that failed together are not retried together
MESSAGE_LIFETIME = 5.0 * DAY  # seconds (RFC 5321 §4.5.4.1)
DELAY_NOTICE_AFTER = 1.0 * HOUR  # seconds that a message waits before the `delivery_delayed` event

_MAX_HEADER = 64  # characters; an HTTP date has 29
_MAX_DIGITS = 9  # of a number of seconds, about 30 years


def retry_delay(age: float, jitter: float) -> float:
    """Return the seconds to a message's next attempt: its age in seconds, between FIRST_DELAY and MAX_DELAY.

    `jitter` is in -1..1.
    """
    return min(max(age, FIRST_DELAY), MAX_DELAY) * (1 + JITTER * jitter)


def backoff(failures: int, jitter: float, first_delay: float = 5.0, max_delay: float = 300.0) -> float:
    """Return the pause of a mailbox or webhook in seconds after so many consecutive failures (1 or more)."""
    return min(first_delay * 2.0 ** min(failures - 1, 16), max_delay) * (1 + JITTER * jitter)


def retry_after(header: str, now: float) -> float:
    """Return the seconds (at least 0) of a Retry-After header (RFC 9110 §10.2.3): a number or an HTTP date.

    0 for any other value. `now` is in epoch seconds.
    """
    value = header[: _MAX_HEADER + 1].strip()
    number = retry_after_number(value)
    if number is not None:
        return number
    if len(value) > _MAX_HEADER:
        return 0.0
    try:
        date = parsedate_to_datetime(value)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0  # the standard library's parser raises each of them for some text
    return max(0.0, seconds)


def retry_after_number(header: str) -> float | None:
    """Return the seconds of a Retry-After header in its numeric form, or None for any other value."""
    value = header.strip()
    return float(value[:_MAX_DIGITS]) if value.isascii() and value.isdecimal() else None
