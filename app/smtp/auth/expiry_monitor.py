"""Says in time that a credential ends: a metric with the date, and a warning 30, 7 and 1 days before. Ends nothing."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app import logs, metrics
from app.clock import Clock
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_placeholders
from app.mail.outcome.verdict import Explanation
from app.mail.time_units import DAY
from app.smtp.auth.credentials import Credentials

CHECK_INTERVAL = 3600.0  # seconds of the clock between looks
NOTICE_DAYS = (30, 7, 1, 0)  # days


@dataclass(frozen=True, slots=True)
class ExpiryNotice:
    """What is told at one step: a credential of the mailbox ends at `at` (epoch seconds)."""

    mailbox: str
    what: str
    at: float
    why: Explanation
    step: float  # days before, at the most


async def _no_listener(_: ExpiryNotice) -> None:
    """The log and the metric have it."""


class CredentialExpiryMonitor:
    """Looks at the credentials of one mailbox, again and again."""

    def __init__(
        self,
        mailbox: str,
        credentials: Credentials,
        clock: Clock,
        announce: Callable[[ExpiryNotice], Awaitable[None]] = _no_listener,
    ) -> None:
        """Who is to hear of it beside the log is told by `announce`."""
        self._mailbox = mailbox
        self._credentials = credentials
        self._clock = clock
        self._announce = announce
        self._told: tuple[float, float] | None = None  # the date, and the step at which it was told

    async def advance(self) -> None:
        """Look and announce. What could not be announced is announced again at the next look."""
        if (news := self.check()) is None:
            return
        try:
            await self._announce(news)
        except BaseException:
            self._told = None
            raise

    def check(self) -> ExpiryNotice | None:
        """Tell once at each step; a new date begins anew. Answers what was told."""
        if (ending := self._credentials.expiry()) is None:
            return None
        metrics.credential_ends(self._mailbox, ending.what, ending.at)
        step = self._step(ending)
        if step is None or self._told == (ending.at, step):
            return None
        self._told = (ending.at, step)
        return self._notify(ending, step)

    def _step(self, ending: CredentialExpiry) -> float | None:
        left = ending.at - self._clock.now()
        steps = (*NOTICE_DAYS, math.inf) if ending.announced else NOTICE_DAYS
        return min((step for step in steps if left <= step * DAY), default=None)

    def _notify(self, ending: CredentialExpiry, step: float) -> ExpiryNotice:
        why = fill_placeholders(ending.explanation, {"mailbox": self._mailbox})
        logs.credential_ends(
            self._mailbox,
            what=ending.what,
            days=math.floor((ending.at - self._clock.now()) / DAY),
            at=ending.at,
            reason=why.summary,
            fix=why.fix,
        )
        return ExpiryNotice(self._mailbox, ending.what, ending.at, why, step)
