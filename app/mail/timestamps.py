"""A moment as programs read it."""

from datetime import UTC, datetime


def iso(seconds: float) -> str:
    """Epoch seconds as `2026-11-23T20:08:28.367Z` (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
