"""Spans of an email's way, one function for each step, where they are asked for. Otherwise nothing, at no cost.

What makes spans is app/otlp, which is there only with the extra `traces`; here nobody knows OpenTelemetry. Facts only:
ids, names of rules and phases, numbers. Never content, never an address but a mailbox's own, never a reply's text.
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
    parent: str | None  # what `carried` said when the email was accepted
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
    """Who makes spans."""

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
    """Spans are made by this one from now on; None: by nobody."""
    global _recorder  # noqa: PLW0603 - as with the log, the one thing of a process that is set and not passed along
    _recorder = recorder


def wrap_application(application: Application) -> Application:
    """The ASGI application, each request of which is a part of its caller's trace."""
    return application if _recorder is None else cast("Application", _recorder.wrap_application(application))


def traceparent() -> str | None:
    """What an email takes along from the request that it came with."""
    return None if _recorder is None else _recorder.traceparent()


def step(name: str, *emails: UUID) -> AbstractContextManager[object]:
    """A part of the request under way."""
    return _NOTHING if _recorder is None else _recorder.step(name, emails)


def claimed(email: UUID, parent: str | None, mailbox: str, at: float) -> None:
    """A mailbox has asked for work at this moment (epoch seconds), and has this email now."""
    if _recorder is not None and parent is not None:
        _recorder.claimed(email, parent, mailbox, at)


def begin() -> None:
    """What this task does from now on is one offer."""
    if _recorder is not None:
        _phase_timings.set([])


def phase(phase: Phase, since: float, until: float) -> None:
    """The dialogue with the upstream has left a phase."""
    if _recorder is not None and (laps := _phase_timings.get()) is not None:
        laps.append((phase, since, until))


def phase_timings() -> tuple[PhaseTiming, ...]:
    """The phases of this task's offer so far."""
    return () if _recorder is None else tuple(_phase_timings.get() or ())


def is_recording() -> bool:
    """Whether anybody makes spans."""
    return _recorder is not None


def attempted(offer: AttemptSpan) -> None:
    """An attempt has ended and is settled."""
    if _recorder is not None:
        _recorder.attempted(offer)
