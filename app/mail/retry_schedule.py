"""When next. Delays are functions of age, so that a restart or a long pause changes nothing (Postfix's rule)."""

FIRST_DELAY = 30.0  # seconds
MAX_DELAY = 3600.0
JITTER = 0.2  # of the delay, so that what failed together does not come back together
MESSAGE_LIFETIME = 5 * 86_400.0  # give up after this (RFC 5321 §4.5.4.1)
DELAY_NOTICE_AFTER = 3600.0  # how long a message may wait before its caller hears of a delay


def retry_delay(age: float, jitter: float) -> float:
    """Seconds until the next offer of a message of this age in seconds: the age again, within FIRST and LONGEST.

    `jitter` is in -1..1.
    """
    return min(max(age, FIRST_DELAY), MAX_DELAY) * (1 + JITTER * jitter)


def backoff(failures: int, jitter: float, first_delay: float = 5.0, max_delay: float = 300.0) -> float:
    """Seconds a mailbox rests after so many failures in a row to reach the upstream (1 or more)."""
    return min(first_delay * 2.0 ** min(failures - 1, 16), max_delay) * (1 + JITTER * jitter)
