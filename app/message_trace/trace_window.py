"""Ranges of reception times to read, and the filter of a request. Pure. Times are epoch seconds by Microsoft's clock.

Rows appear minutes late and change their status afterwards, so each pass reads the last hours again.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.mail.office365.graph import iso_seconds
from app.mail.times import DAY, HOUR

OVERLAP = 4.0 * HOUR  # read again in each pass
SWEEP = 48.0 * HOUR  # read again in each sweep
SWEEP_INTERVAL = 2.0 * HOUR
MAX_RANGE = 10.0 * DAY  # of one request (Graph)
MAX_AGE = 89.0 * DAY  # Graph has the rows of 90 days
_ANY = "*"


class TimeRange(NamedTuple):
    """Range of reception times, both ends inclusive."""

    start: float
    end: float


def pass_ranges(watermark: float, now: float) -> Iterator[TimeRange]:
    """Yield the ranges of a pass at `now`, oldest first: from the watermark on, so that a gap is read too."""
    start = max(min(watermark, now) - OVERLAP, now - MAX_AGE)
    while start < now:
        yield TimeRange(start, end := min(start + MAX_RANGE, now))
        start = end


def first_watermark(now: float, oldest_unknown: float | None) -> float:
    """Return the watermark of a first pass. Older rows are of use only for emails with an unknown outcome."""
    return min(now - SWEEP, now if oldest_unknown is None else oldest_unknown)


def sweep_range(swept_at: float | None, now: float) -> TimeRange | None:
    """Return the range of older rows that may have changed; None: the last sweep was less than an interval ago."""
    if swept_at is not None and 0.0 <= now - swept_at < SWEEP_INTERVAL:
        return None
    return TimeRange(now - SWEEP, now - OVERLAP)


def filters(times: TimeRange, domains: Iterable[str]) -> list[str]:
    """Return one filter for each sending domain; one for the whole tenant if a domain is a pattern.

    Graph ignores `or` and `in`: the last condition counts. So each domain needs a request.
    """
    between = f"receivedDateTime ge {iso_seconds(times.start)} and receivedDateTime le {iso_seconds(times.end)}"
    names = sorted(set(domains))
    if not names or any(_ANY in name for name in names):
        return [between]
    return [f"{between} and senderAddress eq '*@{name}'" for name in names]
