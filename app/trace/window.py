"""Ranges of reception times to read, and the filter of a request. Pure. Times are epoch seconds by Microsoft's clock.

Rows appear minutes late and change their status afterwards, so each pass reads the last hours again.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from app.mail.times import DAY, HOUR

OVERLAP = 4.0 * HOUR  # read again in each pass
SWEEP = 48.0 * HOUR  # read again in each sweep
SWEEP_INTERVAL = 2.0 * HOUR
MAX_RANGE = 10.0 * DAY  # of one request (Graph)
_ANY = "*"


class TimeRange(NamedTuple):
    """Range of reception times, both ends inclusive."""

    start: float
    end: float


def pass_range(watermark: float | None, now: float) -> TimeRange:
    """Return the range of a pass at `now`: from the watermark, so that a gap after an outage is read too."""
    start = now - SWEEP if watermark is None else min(watermark, now) - OVERLAP
    return TimeRange(max(start, now - MAX_RANGE), now)


def sweep_range(swept_at: float | None, now: float) -> TimeRange | None:
    """Return the range of older rows that may have changed; None: the last sweep was less than an interval ago."""
    if swept_at is not None and 0.0 <= now - swept_at < SWEEP_INTERVAL:
        return None
    return TimeRange(now - SWEEP, now - OVERLAP)


def filters(times: TimeRange, domains: Iterable[str]) -> list[str]:
    """Return one filter for each sending domain; one for the whole tenant if a domain is a pattern.

    Graph ignores `or` and `in`: the last condition counts. So each domain needs a request.
    """
    between = f"receivedDateTime ge {_iso(times.start)} and receivedDateTime le {_iso(times.end)}"
    names = sorted(set(domains))
    if not names or any(_ANY in name for name in names):
        return [between]
    return [f"{between} and senderAddress eq '*@{name}'" for name in names]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
