"""Metrics, spans and log lines of finished attempts. Verdicts are counted when they are reached, everything else only
once it is settled. Decides nothing."""

from uuid import UUID

from app import logs, metrics, tracing
from app.mail.lifecycle import Event
from app.mail.outcome.verdict import Action
from app.relay.delivery import Finished

EXPIRED = "expired"  # the reason of an email that was not relayed before its time was over


def record_verdicts(finished: Finished) -> None:
    """Count the verdicts of an attempt."""
    for verdict in finished.verdicts.values():
        metrics.verdict_reached(verdict.rule)
    if any(not verdict.known for verdict in finished.verdicts.values()):
        metrics.unknown_reply(finished.attempt.phase)


def record_settled(finished: Finished) -> None:
    """Report an attempt whose settlement is durable."""
    claimed, record, settlement = finished.claimed, finished.record, finished.settlement
    metrics.attempted(settlement.event)
    if settlement.in_doubt:
        metrics.in_doubt()
    for bounce in settlement.bounces:
        logs.bounced(claimed.id, code=bounce.code, needed=bounce.needed)
    _count(finished)
    if tracing.is_recording():
        tracing.attempted(_attempt_span(finished))
    logs.attempted(
        claimed.id,
        mailbox=claimed.mailbox,
        number=claimed.number,
        phase=finished.attempt.phase,
        outcome=settlement.event,
        seconds=record.ended_at - claimed.started_at,
        reply=record.replies[-1] if record.replies else record.detail or "",
    )


def record_expired(email: UUID) -> None:
    """Report an email that expired while no attempt was under way."""
    metrics.failed(EXPIRED)
    logs.expired(email)


def _attempt_span(finished: Finished) -> tracing.AttemptSpan:
    claimed, attempt, settlement = finished.claimed, finished.attempt, finished.settlement
    return tracing.AttemptSpan(
        email=claimed.id,
        parent=claimed.traceparent,
        mailbox=claimed.mailbox,
        lane=claimed.lane,
        number=claimed.number,
        phase=attempt.phase,
        outcome=str(settlement.event),
        succeeded=settlement.event is Event.FINISH and not _rule(finished, Action.FAIL),
        rules=tuple(dict.fromkeys(verdict.rule for verdict in finished.verdicts.values())),
        code=attempt.reply.code if attempt.reply else None,
        ended_at=finished.record.ended_at,
        phase_timings=tracing.phase_timings(),
    )


def _count(finished: Finished) -> None:
    claimed = finished.claimed
    match finished.settlement.event:
        case Event.FINISH if failed := _rule(finished, Action.FAIL):
            metrics.failed(failed)
        case Event.FINISH:
            metrics.relayed(claimed.lane, finished.record.ended_at - claimed.delivery_state.due_since)
        case Event.EXPIRE:
            metrics.failed(EXPIRED)
        case Event.DEFER:
            metrics.deferred(_rule(finished, Action.DEFER))
        case Event.HOLD:
            metrics.held(_rule(finished, Action.DEFER))


def _rule(finished: Finished, action: Action) -> str:
    """Return the first rule that led to this action; empty if none did."""
    return next((verdict.rule for verdict in finished.verdicts.values() if verdict.action is action), "")
