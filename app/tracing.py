"""Tracing API: one function per step of an email. Without a recorder each does nothing, at almost no cost.

The recorder is app/tracing_otel.py, available with the extra `traces`; this module does not import OpenTelemetry. Spans
contain ids, names of rules and phases, and numbers; never content, addresses other than mailboxes, or reply texts.
"""

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from app.frozen import frozen
from app.mail.outcome.attempt import Phase

Application = TypeVar("Application")
PhaseTiming = tuple[Phase, float, float]  # from and to, in seconds of time.perf_counter


@frozen
class AttemptSpan:
    """One attempt that is settled. Times are epoch seconds."""

    email: UUID
    parent: str | None  # traceparent of the request that submitted the email
    mailbox: str
    lane: str
    number: int
    phase: Phase  # in which it ended
    outcome: str
    succeeded: bool  # every recipient has it
    rules: tuple[str, ...]  # that judged its recipients
    code: int | None  # of the reply that decided
    ended_at: float
    phase_timings: tuple[PhaseTiming, ...]


class SpanRecorder(Protocol):
    """Interface of a span recorder."""

    def wrap_application(self, application: Any) -> Any:
        """An ASGI application with a span for each of its requests."""

    def traceparent(self) -> str | None:
        """The W3C traceparent of the request under way."""

    def step(self, name: str, emails: tuple[UUID, ...]) -> AbstractContextManager[object]:
        """A span inside the request under way."""

    def claimed(self, email: UUID, parent: str, mailbox: str, at: float) -> None:
        """A span from `at` (epoch seconds) to now."""

    def attempted(self, offer: AttemptSpan) -> None:
        """A span with one for each phase and one for what was written since `ended_at`."""


_NOTHING = nullcontext()
_recorder: SpanRecorder | None = None
_phase_timings: ContextVar[list[PhaseTiming] | None] = ContextVar("laps", default=None)


def set_recorder(recorder: SpanRecorder | None) -> None:
    """Set the recorder of the process; None: record nothing."""
    global _recorder  # noqa: PLW0603 - as with the log, the one thing of a process that is set and not passed along
    _recorder = recorder


def wrap_application(application: Application) -> Application:
    """Return the ASGI application with a span per request, in the caller's trace."""
    return application if _recorder is None else cast("Application", _recorder.wrap_application(application))


def traceparent() -> str | None:
    """Return the W3C traceparent of the request under way, to store with the email."""
    return None if _recorder is None else _recorder.traceparent()


def step(name: str, *emails: UUID) -> AbstractContextManager[object]:
    """Open a span inside the request under way."""
    return _NOTHING if _recorder is None else _recorder.step(name, emails)


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
    if _recorder is not None and (laps := _phase_timings.get()) is not None:
        laps.append((phase, since, until))


def phase_timings() -> tuple[PhaseTiming, ...]:
    """Return the phases of this task's attempt so far."""
    return () if _recorder is None else tuple(_phase_timings.get() or ())


def is_recording() -> bool:
    """Return True if a recorder is set."""
    return _recorder is not None


def attempted(offer: AttemptSpan) -> None:
    """Record a settled attempt."""
    if _recorder is not None:
        _recorder.attempted(offer)
