"""Retry delays. A delay depends on the age of the message, not on the number of attempts (as in Postfix)."""

FIRST_DELAY = 30.0  # seconds
MAX_DELAY = 3600.0  # seconds
JITTER = 0.2  # share of the delay, so that messages that failed together are not retried together
MESSAGE_LIFETIME = 5 * 86_400.0  # seconds (RFC 5321 §4.5.4.1)
DELAY_NOTICE_AFTER = 3600.0  # seconds that a message waits before the `delivery_delayed` event


def retry_delay(age: float, jitter: float) -> float:
    """Return the seconds to the next attempt: the age in seconds, between FIRST_DELAY and MAX_DELAY.

    `jitter` is in -1..1.
    """
    return min(max(age, FIRST_DELAY), MAX_DELAY) * (1 + JITTER * jitter)


def backoff(failures: int, jitter: float, first_delay: float = 5.0, max_delay: float = 300.0) -> float:
    """Return the pause of a mailbox in seconds after so many consecutive failures (1 or more)."""
    return min(first_delay * 2.0 ** min(failures - 1, 16), max_delay) * (1 + JITTER * jitter)
