"""Units of time in seconds, and the conversion of points in time (epoch seconds) to text and from it. Pure."""

import re
from datetime import UTC, datetime

MINUTE = 60
HOUR = 3_600
DAY = 86_400
MAX_TIME_LENGTH = 64  # characters; no form of a time is longer

_SPACED_OFFSET = re.compile(r"(?<=\d)\s++(?=[+-]\d\d(?::?\d\d)?\Z)", re.ASCII)  # as Ruby and PostgreSQL print it
_UTC = re.compile(r"(?<=\d)\s*+(?:UTC|GMT|Z)\Z", re.IGNORECASE | re.ASCII)  # the one zone with a single meaning


def iso(seconds: float) -> str:
    """Return epoch seconds in RFC 3339, with milliseconds: `2026-11-23T20:08:28.367Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hour_text(seconds: float) -> str:
    """Return the hour of epoch seconds, as filters take it: `2026-11-23T20:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:00Z")


def minute_text(seconds: float) -> str:
    """Return epoch seconds for sentences, to the minute: `2026-11-23 20:08 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def moment(text: str) -> float | None:
    """Return epoch seconds of a time in ISO 8601, None if it is none.

    Without an offset it is UTC. Digits beyond the microsecond are dropped.
    """
    if len(text) > MAX_TIME_LENGTH:
        return None
    try:
        time = datetime.fromisoformat(_SPACED_OFFSET.sub("", _UTC.sub("+00:00", text.strip())).upper())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
