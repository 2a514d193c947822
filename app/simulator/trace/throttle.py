"""Throttling of Graph's message trace: 100 requests in any 5 minutes for each of the two calls, then 429."""

import math
from collections import defaultdict
from typing import NamedTuple

LIMIT = 100
WINDOW = 300.0  # seconds


class TraceRequest(NamedTuple):
    """Request. `call` is list or details."""

    at: float
    call: str
    status: int


class Throttle:
    """Times of the requests of each call. Refused ones count too."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)

    def retry_after(self, call: str, now: float) -> int | None:
        """Count a request; return None, or the seconds of Retry-After if it is over the limit."""
        times = self._times[call]
        times[:] = [at for at in times if at > now - WINDOW]
        times.append(now)
        if len(times) <= LIMIT:
            return None
        return max(1, math.ceil(times[-LIMIT] + WINDOW - now))
