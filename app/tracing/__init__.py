"""Tracing API: one function per step of an email. Without a recorder each does nothing, at almost no cost.

The recorder is app/tracing/otel.py, available with the extra `traces`; this module does not import OpenTelemetry. Spans
contain ids, names of rules and phases, and numbers; never content, addresses other than mailboxes, or reply texts.
"""

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from app.frozen import frozen
from app.mail.outcome.attempt import Phase

Application = TypeVar("Application")
PhaseTiming = tuple[Phase, float, float]  # from and to, in seconds of time.perf_counter


@frozen
class AttemptSpan:
    """Settled delivery attempt. Times are epoch seconds."""

    email: UUID
    parent: str | None  # traceparent of the request that submitted the email
    mailbox: str
    lane: str
    number: int
    phase: Phase  # in which it ended
    outcome: str
    succeeded: bool  # it was relayed to every recipient
    rules: tuple[str, ...]  # policy rules of the verdicts
    code: int | None  # of the decisive reply
    ended_at: float
    phase_timings: tuple[PhaseTiming, ...]


class SpanRecorder(Protocol):
    """Interface of a span recorder."""

    def wrap_application(self, application: Any) -> Any:
        """Return the ASGI application with a span per request."""

    def traceparent(self) -> str | None:
        """Return the W3C traceparent of the request under way, to store with the email."""

    def span(self, name: str, emails: tuple[UUID, ...]) -> AbstractContextManager[object]:
        """Open a span inside the request under way."""

    def claimed(self, email: UUID, parent: str, mailbox: str, at: float) -> None:
        """Record a span from `at` (epoch seconds) to now."""

    def attempted(self, attempt: AttemptSpan) -> None:
        """Record a span with one span per phase, and one for the settlement since `ended_at`."""


_recorder: SpanRecorder | None = None
_phase_timings: ContextVar[list[PhaseTiming] | None] = ContextVar("phase_timings", default=None)


def set_recorder(recorder: SpanRecorder | None) -> None:
    """Set the recorder of the process; None: record nothing."""
    global _recorder  # noqa: PLW0603 - a global as the log is, so that no object has to pass it on
    _recorder = recorder


def wrap_application(application: Application) -> Application:
    """Return the ASGI application with a span per request, in the caller's trace."""
    return application if _recorder is None else cast("Application", _recorder.wrap_application(application))


def recorder() -> SpanRecorder | None:
    """Return the recorder of the process."""
    return _recorder


def claimed(email: UUID, parent: str | None, mailbox: str, at: float) -> None:
    """Record the claim of an email; `at` is its start (epoch seconds)."""
    if _recorder is not None and parent is not None:
        _recorder.claimed(email, parent, mailbox, at)


def begin() -> None:
    """Begin collecting the phase timings of one attempt in this task."""
    if _recorder is not None:
        _phase_timings.set([])


def phase(phase: Phase, since: float, until: float) -> None:
    """Record a finished phase of the SMTP dialogue."""
    if _recorder is not None and (timings := _phase_timings.get()) is not None:
        timings.append((phase, since, until))


def phase_timings() -> tuple[PhaseTiming, ...]:
    """Return the phases of this task's attempt so far."""
    return () if _recorder is None else tuple(_phase_timings.get() or ())


def is_recording() -> bool:
    """Return True if a recorder is set."""
    return _recorder is not None


def attempted(attempt: AttemptSpan) -> None:
    """Record a settled attempt."""
    if _recorder is not None:
        _recorder.attempted(attempt)
