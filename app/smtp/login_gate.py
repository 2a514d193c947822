"""Serialized logins of one mailbox; concurrent callers share one failed login.

Exchange locks a mailbox after several failed logins, so three waiting workers must cause one failed login, not three.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session

FAILURE_TTL = 2.0  # seconds; shorter than every cooldown of a mailbox, so that its next attempt is a real login


class LoginGate:
    """Opener of the sessions of one mailbox, one at a time."""

    def __init__(
        self, open_session: Callable[[], Awaitable[Session | Refusal]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_session = open_session
        self._now = monotonic
        self._lock = asyncio.Lock()
        self._failure: Refusal | SessionError | None = None
        self._failure_valid_until = 0.0
        self._resets = 0  # calls of forget_failure

    async def __call__(self) -> Session | Refusal:
        """Return a session, or the refusal of the server. Raises SessionError."""
        async with self._lock:
            if self._failure is not None and self._now() < self._failure_valid_until:
                return _repeated(self._failure)
            resets = self._resets
            try:
                opened = await self._open_session()
            except SessionError as failure:
                self._remember(failure, resets)
                raise
            self._remember(opened if isinstance(opened, Refusal) else None, resets)
            return opened

    def forget_failure(self) -> None:
        """Discard the stored failure, and that of a login in progress: the next call is a real login."""
        self._failure = None
        self._resets += 1

    def _remember(self, failed: Refusal | SessionError | None, resets: int) -> None:
        if resets == self._resets:
            self._failure, self._failure_valid_until = failed, self._now() + FAILURE_TTL


def _repeated(failed: Refusal | SessionError) -> Refusal:
    if isinstance(failed, Refusal):
        return failed
    raise SessionError(failed.failure, failed.refused, failed.dialogue)
