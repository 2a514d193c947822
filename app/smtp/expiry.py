"""Says in time that a credential ends: a metric with the date, and a warning 30, 7 and 1 days before. Ends nothing."""

import math

from app import logs, metrics
from app.clock import Clock
from app.mail.explain import named
from app.smtp.credentials import Credentials, Ending

DAY = 86_400.0
LOOK = 3600.0  # seconds between looks
STEPS = (30, 7, 1, 0)  # days


class Watch:
    """Looks at the credentials of one mailbox, again and again."""

    def __init__(self, mailbox: str, credentials: Credentials, clock: Clock) -> None:
        self._mailbox = mailbox
        self._credentials = credentials
        self._clock = clock
        self._told: tuple[float, float] | None = None  # the date, and the step at which it was told

    async def keep(self) -> None:
        """Look now and then hourly. To be cancelled."""
        while True:
            try:
                self.look()
            except Exception as error:  # a bug must not end the watch
                logs.crashed("credential watch", error)
            await self._clock.sleep(LOOK)

    def look(self) -> None:
        """Tell once at each step; a new date begins anew."""
        if (ending := self._credentials.ending()) is None:
            return
        metrics.credential_ends(self._mailbox, ending.what, ending.at)
        step = self._step(ending)
        if step is not None and self._told != (ending.at, step):
            self._told = (ending.at, step)
            self._tell(ending)

    def _step(self, ending: Ending) -> float | None:
        left = ending.at - self._clock.now()
        steps = (*STEPS, math.inf) if ending.announced else STEPS
        return min((step for step in steps if left <= step * DAY), default=None)

    def _tell(self, ending: Ending) -> None:
        why = named(ending.explanation, {"mailbox": self._mailbox})
        logs.credential_ends(
            self._mailbox,
            what=ending.what,
            days=math.floor((ending.at - self._clock.now()) / DAY),
            at=ending.at,
            reason=why.summary,
            fix=why.fix,
        )
