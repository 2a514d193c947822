"""Limit on the requests of an API key that cost as much as a send and that no budget counts. In memory.

They are validations, reschedules (which write the content again, and an event for each webhook), and refused sends. So
this process counts them by the clock's minute, and refuses more before the body is read. Nothing of it is stored: a
budget of messages is used by stored messages alone.
"""

import math
from collections.abc import Callable
from uuid import UUID

from app.api.policy_errors import TooManyAttempts
from app.mail.budget import MINUTE
from app.store.records import Key

MOST = 600  # in a minute, where the key's budget of messages does not say more, or less for validations
LEAST = 10  # validations and reschedules in a minute, however small the key's budget is


class AttemptLimiter:
    """The counts of this process. `now` gives epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._minute = 0
        self._counted: dict[UUID, int] = {}  # of this minute

    def admit(self, key: Key) -> None:
        """Count a validation or a reschedule. Raises TooManyAttempts."""
        per_minute = key.policy.messages_per_minute
        self._check(key, MOST if per_minute is None else max(per_minute, LEAST))
        self.count(key.id)

    def send(self, key: Key) -> None:
        """Check before a send. Raises TooManyAttempts."""
        self._check(key, max(key.policy.messages_per_minute or 0, MOST))

    def count(self, key_id: UUID) -> None:
        """Count a request, or an item of a batch, that was refused."""
        self._begin_minute()
        self._counted[key_id] = self._counted.get(key_id, 0) + 1

    def _check(self, key: Key, limit: int) -> None:
        if self._counted.get(key.id, 0) < limit:  # a count of the minute before is larger at most
            return
        self._begin_minute()
        if self._counted.get(key.id, 0) >= limit:
            now = self._now()
            raise TooManyAttempts(limit, max(1, math.ceil((self._minute + 1) * MINUTE - now)))

    def _begin_minute(self) -> None:
        minute = int(self._now() // MINUTE)
        if minute != self._minute:
            self._minute = minute
            self._counted.clear()
