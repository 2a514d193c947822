"""One login at a time, and one that has failed speaks for those who come right behind it.

Exchange locks a mailbox out after repeated failing logins, so three workers at a shut door must be one failed login,
not three.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session

FAILURE_TTL = 2.0  # seconds; less than any pause of a mailbox, so that a later try is always a real one


class LoginGate:
    """Opens the sessions of one mailbox, one after the other."""

    def __init__(
        self, open_session: Callable[[], Awaitable[Session | Refusal]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._enter = open_session
        self._now = monotonic
        self._turn = asyncio.Lock()
        self._failed: Refusal | SessionError | None = None
        self._fresh_until = 0.0
        self._forgotten = 0  # times

    async def __call__(self) -> Session | Refusal:
        """A session, or why there is none. Raises SessionFailed."""
        async with self._turn:
            if self._failed is not None and self._now() < self._fresh_until:
                return _again(self._failed)
            forgotten = self._forgotten
            try:
                opened = await self._enter()
            except SessionError as failed:
                self._remember(failed, forgotten)
                raise
            self._remember(opened if isinstance(opened, Refusal) else None, forgotten)
            return opened

    def forget_failure(self) -> None:
        """Something was mended: no failure speaks for others that began before now, not even one still to come."""
        self._failed = None
        self._forgotten += 1

    def _remember(self, failed: Refusal | SessionError | None, forgotten: int) -> None:
        if forgotten == self._forgotten:
            self._failed, self._fresh_until = failed, self._now() + FAILURE_TTL


def _again(failed: Refusal | SessionError) -> Refusal:
    if isinstance(failed, Refusal):
        return failed
    raise SessionError(failed.failure, failed.refused, failed.dialogue)
