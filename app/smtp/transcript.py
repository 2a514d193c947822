"""Record of an SMTP session: its transcript for people, limited and without content and secrets, and the durations of
its phases for metrics and traces.
"""

import re
from collections.abc import Iterable
from time import perf_counter

from app import metrics, tracing
from app.mail.outcome.attempt import Line, Phase, Reply

_FIRST_LINES = 60
_LAST_LINES = 40  # with the final reply
_MAX_LINE = 1000  # characters
_MASK = "****"
_WORD = re.compile(r"[A-Za-z0-9+/=._~-]{6,}")


class Transcript:
    """Commands and replies in order. `before` are lines of an earlier connection."""

    __slots__ = ("_before", "_lines")

    def __init__(self, before: tuple[Line, ...] = ()) -> None:
        self._before = before
        self._lines: list[Line] = []

    def add_command(self, text: str) -> None:
        """Add a command without CRLF, its secret already masked."""
        self._lines.append(Line("C", text[:_MAX_LINE]))

    def add_reply(self, reply: Reply) -> None:
        """Add a reply of the server."""
        self._lines.append(Line("S", str(reply)[:_MAX_LINE]))

    def lines(self) -> tuple[Line, ...]:
        """Return the stored lines: the first and the last ones, with a note about omitted lines."""
        omitted = len(self._lines) - _FIRST_LINES - _LAST_LINES
        if omitted <= 0:
            return (*self._before, *self._lines)
        gap = Line("C", f"({omitted} lines omitted)")
        return (*self._before, *self._lines[:_FIRST_LINES], gap, *self._lines[-_LAST_LINES:])


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without the `secrets` and without parts of them: Exchange echoes unknown commands, truncated."""
    whole = [secret for secret in secrets if secret]
    for secret in whole:
        text = text.replace(secret, _MASK)
    return _WORD.sub(lambda word: _MASK if any(word.group() in secret for secret in whole) else word.group(), text)


class PhaseTimer:
    """Current phase of a session and its start. Call `stop` at the end of the session."""

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
