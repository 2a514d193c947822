"""Times the phases of one dialogue with the upstream. Knows no command."""

from time import perf_counter

from app import metrics, tracing
from app.mail.outcome.attempt import Phase


class PhaseTimer:
    """Where the dialogue stands, and since when. `stop` it at the end."""

    __slots__ = ("_since", "phase")

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self._since = perf_counter()

    def enter(self, phase: Phase) -> None:
        """The dialogue goes on to this phase, or stays in it."""
        if phase is not self.phase:
            self.stop()
            self.phase = phase

    def stop(self) -> None:
        """The present phase is over."""
        now = perf_counter()
        metrics.phase_took(self.phase, now - self._since)
        tracing.phase(self.phase, self._since, now)
        self._since = now
