"""Timer of the phases of one SMTP session, for metrics and traces."""

from time import perf_counter

from app import metrics, tracing
from app.mail.outcome.attempt import Phase


class PhaseTimer:
    """Current phase and its start. Call `stop` at the end of the session."""

    __slots__ = ("_since", "phase")

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self._since = perf_counter()

    def enter(self, phase: Phase) -> None:
        """Change to this phase; do nothing if it is the current one."""
        if phase is not self.phase:
            self.stop()
            self.phase = phase

    def stop(self) -> None:
        """Record the duration of the current phase."""
        now = perf_counter()
        metrics.phase_took(self.phase, now - self._since)
        tracing.phase(self.phase, self._since, now)
        self._since = now
