"""Limit on the validations, reschedules and refused sends of an API key in a minute of the clock, in memory.

They cost as much as a send (a reschedule writes the content again, and an event for each webhook), but the stored rate
limits of a key count stored messages only. Requests beyond the limit are refused before the body is read.
"""

import math
from collections import Counter
from collections.abc import Callable
from uuid import UUID

from app.api.problems.key_policy import TooManyAttempts
from app.mail.times import MINUTE
from app.store.keys.records import Key

MIN_PER_MINUTE = 10  # lower bound of the limit of validations and reschedules


class AttemptLimiter:
    """Counts of this process. `now` returns epoch seconds.

    `most`: limit per minute for keys without `messages_per_minute`.
    """

    def __init__(self, now: Callable[[], float], most: int) -> None:
        self._now = now
        self._most = most
        self._minute = 0
        self._admitted: Counter[UUID] = Counter()  # of this minute
        self._refused: Counter[UUID] = Counter()

    def admit(self, key: Key) -> None:
        """Count a validation or a reschedule. Raises TooManyAttempts."""
        self._begin_minute()
        per_minute = key.policy.messages_per_minute
        limit = self._most if per_minute is None else max(per_minute, MIN_PER_MINUTE)
        if self._admitted[key.id] + self._refused[key.id] >= limit:
            raise self._too_many(limit)
        self._admitted[key.id] += 1

    def send(self, key: Key) -> None:
        """Check the limit before a send. Only refused sends count here. Raises TooManyAttempts."""
        if not self._refused:
            return
        self._begin_minute()
        limit = max(key.policy.messages_per_minute or 0, self._most)
        if self._refused[key.id] >= limit:
            raise self._too_many(limit)

    def count(self, key_id: UUID) -> None:
        """Count a send, or an item of a batch, that was refused."""
        self._begin_minute()
        self._refused[key_id] += 1

    def _too_many(self, limit: int) -> TooManyAttempts:
        return TooManyAttempts(limit, max(1, math.ceil((self._minute + 1) * MINUTE - self._now())))

    def _begin_minute(self) -> None:
        minute = int(self._now() // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._admitted.clear()
            self._refused.clear()
