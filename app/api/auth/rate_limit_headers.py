"""The rate headers: the messages an API key has left, on every answer to it, as far as this process has heard.

The store counts, over all processes; it is asked for nothing here. A key without a budget bears a constant.
"""

import math
from collections.abc import Callable
from uuid import UUID

from app.api.problems.key_policy import RateLimitExceeded
from app.mail.key_policy import MAX_ITEMS
from app.mail.rate_limit import UNUSED, Amount, RateLimit, Usage
from app.mail.time_units import MINUTE
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
    """What the keys with a budget have used, as far as it is known here. `now` gives epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: dict[UUID, Usage] = {}

    def record_usage(self, key_id: UUID, usage: Usage) -> None:
        """The store has said so, perhaps a while ago."""
        self._used[key_id] = usage.joined(self._used.get(key_id, UNUSED))

    def check(self, key_id: UUID, budget: RateLimit, amount: Amount) -> None:
        """Refuse what the store would refuse, as far as that is known already. Raises BudgetSpent."""
        now = self._now()
        usage = self._used.get(key_id, UNUSED).at(now)
        if (window := budget.exceeded(usage, amount)) is not None:
            raise RateLimitExceeded(window, amount, now)

    def headers(self, key: Key) -> Headers:
        """Of the window in which the fewest messages are left; constants where messages are not limited."""
        budget = key.policy.rate_limit
        if budget is None:
            return _UNLIMITED
        now = self._now()
        window = budget.tightest(self._used.get(key.id, UNUSED).at(now))
        if window is None:
            return _UNLIMITED
        return _headers(window.limit, window.remaining, max(1, math.ceil(window.end - now)))
