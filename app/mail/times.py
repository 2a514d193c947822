"""Units of time in seconds, and points in time (epoch seconds) as text in UTC."""

from datetime import UTC, datetime

MINUTE = 60
HOUR = 3_600
DAY = 86_400


def iso(seconds: float) -> str:
    """Return epoch seconds in RFC 3339, with milliseconds: `2026-11-23T20:08:28.367Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def minute_text(seconds: float) -> str:
    """Return epoch seconds for sentences, to the minute: `2026-11-23 20:08 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
