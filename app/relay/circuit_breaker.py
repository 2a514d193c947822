"""Circuit breaker: pauses a mailbox after repeated errors of one class, before Exchange locks it out.

After repeated permanent errors of one kind Exchange refuses all SMTP AUTH submissions of a mailbox for an unpublished
time of about 24 hours ("Fix continuous error throttling for SMTP AUTH submissions", Microsoft Learn).
"""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from app.mail.outcome.verdict import Action, Explanation, Verdict

DISTINCT_MESSAGES = 3  # messages
FAILURE_WINDOW = 600.0  # seconds
COOLDOWN = 1800.0  # seconds of the pause


class CircuitBreaker:
    """Recent errors of one mailbox by class, since its last relayed message. In memory only."""

    def __init__(self) -> None:
        self._errors: defaultdict[str, dict[UUID, float]] = defaultdict(dict)

    def observe(self, message: UUID, verdicts: Iterable[Verdict], now: float) -> Explanation | None:
        """Count the verdicts of one message; return the reason to pause if they trip the breaker."""
        for verdict in verdicts:
            if verdict.action is Action.RELAYED:
                self._errors.clear()
            elif verdict.lockout_class and self._count(verdict.lockout_class, message, now) >= DISTINCT_MESSAGES:
                self._errors.clear()
                return _explanation(verdict)
        return None

    def _count(self, kind: str, message: UUID, now: float) -> int:
        errors = self._errors[kind]
        errors[message] = now
        for old in [id for id, at in errors.items() if at < now - FAILURE_WINDOW]:
            del errors[old]
        return len(errors)


def _explanation(verdict: Verdict) -> Explanation:
    return Explanation(
        f"{DISTINCT_MESSAGES} messages in a row got the same error, and Exchange locks out a mailbox that repeats it. "
        f"{verdict.explanation.summary}",
        verdict.explanation.fix,
    )
