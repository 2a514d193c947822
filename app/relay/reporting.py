"""What is told of the end of an attempt: counted, timed, logged. Decides nothing, and is told only what is settled."""

from collections.abc import Collection
from uuid import UUID

from app import logs, metrics, tracing
from app.mail.lifecycle import Event, Settlement
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Action, Verdict
from app.store.records import AttemptLog, Claimed

EXPIRED = "expired"  # the reason of an email whose time was over


def record_verdicts(attempt: Attempt, verdicts: Collection[Verdict]) -> None:
    """An offer has ended and was judged."""
    for verdict in verdicts:
        metrics.verdict_reached(verdict.rule)
    if any(not verdict.known for verdict in verdicts):
        metrics.unknown_reply(attempt.phase)


def record_settled(
    claimed: Claimed, attempt: Attempt, verdicts: Collection[Verdict], settlement: Settlement, record: AttemptLog
) -> None:
    """What became of the email is on the disk."""
    metrics.attempted(settlement.event)
    if settlement.in_doubt:
        metrics.in_doubt()
    _count(claimed, verdicts, settlement, record.ended_at)
    if tracing.is_recording():
        tracing.attempted(_attempt_span(claimed, attempt, verdicts, settlement, record))
    logs.attempted(
        claimed.id,
        mailbox=claimed.mailbox,
        number=claimed.number,
        phase=attempt.phase,
        outcome=settlement.event,
        seconds=record.ended_at - claimed.started_at,
        reply=record.replies[-1] if record.replies else record.detail or "",
    )


def record_expired(email: UUID) -> None:
    """An email was not relayed before its time was over; no attempt of it was under way."""
    metrics.failed(EXPIRED)
    logs.expired(email)


def _attempt_span(
    claimed: Claimed, attempt: Attempt, verdicts: Collection[Verdict], settlement: Settlement, record: AttemptLog
) -> tracing.AttemptSpan:
    return tracing.AttemptSpan(
        email=claimed.id,
        parent=claimed.traceparent,
        mailbox=claimed.mailbox,
        lane=claimed.lane,
        number=claimed.number,
        phase=attempt.phase,
        outcome=str(settlement.event),
        succeeded=settlement.event is Event.FINISH and not _rule(verdicts, Action.FAIL),
        rules=tuple(dict.fromkeys(verdict.rule for verdict in verdicts)),
        code=attempt.reply.code if attempt.reply else None,
        ended_at=record.ended_at,
        phase_timings=tracing.phase_timings(),
    )


def _count(claimed: Claimed, verdicts: Collection[Verdict], settlement: Settlement, now: float) -> None:
    match settlement.event:
        case Event.FINISH if lost := _rule(verdicts, Action.FAIL):
            metrics.failed(lost)
        case Event.FINISH:
            metrics.relayed(claimed.lane, now - claimed.delivery_state.due_since)
        case Event.EXPIRE:
            metrics.failed(EXPIRED)
        case Event.DEFER:
            metrics.deferred(_rule(verdicts, Action.DEFER))
        case Event.HOLD:
            metrics.held(_rule(verdicts, Action.DEFER))


def _rule(verdicts: Collection[Verdict], action: Action) -> str:
    """The first that said so."""
    return next((verdict.rule for verdict in verdicts if verdict.action is action), "")
