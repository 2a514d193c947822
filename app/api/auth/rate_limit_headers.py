"""RateLimit headers of an API key, and an early check of its rate limits, from the last usage that the store reported.

The store counts over all processes and is not queried here. A key without a limit gets constants.
"""

import math
from collections.abc import Callable
from uuid import UUID

from app.api.problems.key_policy import RateLimitExceeded
from app.mail.key_policy import MAX_ITEMS
from app.mail.rate_limit import UNUSED, Amount, RateLimit, Usage
from app.mail.times import MINUTE
from app.store.keys.records import Key

Headers = tuple[tuple[bytes, bytes], ...]


def _headers(limit: int, remaining: int, reset: int) -> Headers:
    return (
        (b"ratelimit-limit", b"%d" % limit),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % reset),
    )


_UNLIMITED = _headers(MAX_ITEMS, MAX_ITEMS, MINUTE)


class RateLimitHeaders:
    """Last known usage of the keys with limits. `now` returns epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: dict[UUID, Usage] = {}

    def record_usage(self, key_id: UUID, usage: Usage) -> None:
        """Record the usage that the store reported."""
        self._used[key_id] = usage.joined(self._used.get(key_id, UNUSED))

    def check(self, key_id: UUID, rate_limit: RateLimit, amount: Amount) -> None:
        """Refuse early what the store would refuse, by the last known usage. Raises RateLimitExceeded."""
        now = self._now()
        usage = self._used.get(key_id, UNUSED).at(now)
        if (window := rate_limit.exceeded(usage, amount)) is not None:
            raise RateLimitExceeded(window, amount, now)

    def headers(self, key: Key) -> Headers:
        """Return the headers of the window with the fewest messages left; constants without a limit."""
        rate_limit = key.policy.rate_limit
        if rate_limit is None:
            return _UNLIMITED
        now = self._now()
        window = rate_limit.tightest(self._used.get(key.id, UNUSED).at(now))
        if window is None:
            return _UNLIMITED
        return _headers(window.limit, window.remaining, max(1, math.ceil(window.end - now)))
