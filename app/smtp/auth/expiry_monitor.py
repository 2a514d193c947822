"""Warnings before a credential expires: 30, 7 and 1 days before and at the date, and a metric with the date."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app import logs, metrics
from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.outcome.verdict import Explanation
from app.mail.times import DAY, HOUR
from app.smtp.auth.credentials import Credentials

CHECK_INTERVAL = 1.0 * HOUR  # seconds of the clock
NOTICE_DAYS = (30, 7, 1, 0)  # before the expiry


@dataclass(frozen=True, slots=True)
class ExpiryNotice:
    """Warning of one step: the credential `what` of the mailbox expires at `at` (epoch seconds)."""

    mailbox: str
    what: str
    at: float
    why: Explanation
    step: float  # maximum number of days before the expiry


async def _no_listener(_: ExpiryNotice) -> None:
    """Do nothing."""


class CredentialExpiryMonitor:
    """Monitor of the expiry of one mailbox's credentials."""

    def __init__(
        self,
        mailbox: str,
        credentials: Credentials,
        clock: Clock,
        announce: Callable[[ExpiryNotice], Awaitable[None]] = _no_listener,
    ) -> None:
        """`announce` is awaited with each notice, beside the log."""
        self._mailbox = mailbox
        self._credentials = credentials
        self._clock = clock
        self._announce = announce
        self._notified: tuple[float, float] | None = None  # expiry and step of the last notice

    async def advance(self) -> None:
        """Check the expiry and announce a notice. A failed announcement is repeated at the next check."""
        if (notice := self.check()) is None:
            return
        try:
            await self._announce(notice)
        except BaseException:
            self._notified = None
            raise

    def check(self) -> ExpiryNotice | None:
        """Return the notice that is due, once per step and date, after logging it."""
        if (expiry := self._credentials.expiry()) is None:
            return None
        metrics.credential_ends(self._mailbox, expiry.what, expiry.at)
        step = self._step(expiry)
        if step is None or self._notified == (expiry.at, step):
            return None
        self._notified = (expiry.at, step)
        return self._notify(expiry, step)

    def _step(self, expiry: CredentialExpiry) -> float | None:
        left = expiry.at - self._clock.now()
        steps = (*NOTICE_DAYS, math.inf) if expiry.announced else NOTICE_DAYS
        return min((step for step in steps if left <= step * DAY), default=None)

    def _notify(self, expiry: CredentialExpiry, step: float) -> ExpiryNotice:
        why = fill_placeholders(expiry.explanation, {"mailbox": self._mailbox})
        logs.credential_ends(
            self._mailbox,
            what=expiry.what,
            days=math.floor((expiry.at - self._clock.now()) / DAY),
            at=expiry.at,
            reason=why.summary,
            fix=why.fix,
        )
        return ExpiryNotice(self._mailbox, expiry.what, expiry.at, why, step)
