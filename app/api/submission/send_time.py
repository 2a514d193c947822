"""Parser of the times in requests: ISO 8601 or a delay, to epoch seconds."""

import re

from app.mail.times import DAY, HOUR, MAX_TIME_LENGTH, MINUTE, moment

HORIZON = 30 * DAY  # seconds ahead at most
GRACE = HOUR  # seconds in the past at most: a clock that is slow, or a request that was repeated for a while

_UNITS = {"second": 1, "sec": 1, "minute": MINUTE, "min": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}
_RELATIVE = re.compile(r"in\s+(\d{1,9})\s+(second|sec|minute|min|hour|day|week)s?", re.IGNORECASE | re.ASCII)


class SchedulingError(ValueError):
    """Error in a time, as one sentence for the caller."""


def parse(text: str, now: float, *, grace: float = GRACE) -> float | None:
    """Return epoch seconds, or None for a time at most `grace` seconds in the past: the email is sent immediately.

    Raises SchedulingError.
    """
    due = _relative(text, now) if text[:3].lower() == "in " else moment(text)
    if due is None:
        raise SchedulingError(
            "It is not a time; write ISO 8601 like 2026-11-23T20:08:28Z, or a delay like `in 10 minutes`"
            " (seconds, minutes, hours, days or weeks). A zone is an offset such as +02:00, or UTC."
        )
    if due < now - grace:
        raise SchedulingError("It is more than one hour in the past; give a later time, or leave it out to send now.")
    if due > now + HORIZON:
        raise SchedulingError("It is more than 30 days ahead; choose an earlier time, or send it later.")
    return due if due > now else None


def _relative(text: str, now: float) -> float | None:
    match = _RELATIVE.fullmatch(text.strip()) if len(text) <= MAX_TIME_LENGTH else None
    return now + int(match[1]) * _UNITS[match[2].lower()] if match else None
