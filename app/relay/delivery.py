"""Delivery attempt of one message: sending it, its evaluation, and its metrics, span and log line.

An error of a session, which has no reply, becomes an Attempt only here. Verdicts are counted when they are reached,
everything else only once it is settled.
"""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from app import logs, metrics, tracing
from app.frozen import frozen
from app.mail.lifecycle import Event, Settlement, settle
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Action, Verdict
from app.mail.policy import judge
from app.mail.suppression import bounces
from app.smtp.failure import SessionError
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.records import AttemptLog, Claimed

EXPIRED = "expired"  # the reason of an email that was not relayed before its time was over


@frozen
class Finished:
    """Attempt that has ended, with its verdicts and settlement: passed on to settlement and report."""

    claimed: Claimed
    attempt: Attempt
    verdicts: Mapping[str, Verdict]  # by recipient
    settlement: Settlement
    record: AttemptLog


async def attempt_delivery(claimed: Claimed, store: Store, pool: SessionPool) -> Attempt:
    """Relay the content to the pending recipients over a session of the pool. Raises StoreUnavailableError."""
    content = claimed.content or await store.content(claimed.id)
    if content is None:
        raise LookupError(f"the content of {claimed.id} is missing while the message is active")

    async def before_dot() -> bool:
        return await _mark(claimed, store, siblings=pool.lent - 1)

    try:
        return await pool.deliver(claimed.envelope, content, before_dot)
    except SessionError as error:
        return _attempt_without_reply(error)


async def attempt_login(pool: SessionPool) -> Attempt | None:
    """Open a session and log in. None: the login succeeded, or a session is open already."""
    try:
        return await pool.ensure_open()
    except SessionError as error:
        return _attempt_without_reply(error)


def evaluate(claimed: Claimed, attempt: Attempt, now: float, jitter: float) -> Finished:
    """Return the attempt with its verdicts and the settlement that follows; `jitter` is in -1..1."""
    verdicts = judge(attempt, claimed.envelope.rcpt_to)
    settlement = settle(claimed.delivery_state, verdicts, now, jitter)
    failed = [address for address, verdict in verdicts.items() if verdict.action is Action.FAIL]
    if failed:
        own = (claimed.envelope.mail_from, claimed.mailbox)
        found = bounces(attempt, claimed.envelope.rcpt_to, own)
        settlement = replace(settlement, bounces=tuple(one for one in found if one.address in failed))
    return Finished(claimed, attempt, verdicts, settlement, _record(attempt, verdicts, now))


def _attempt_without_reply(error: SessionError) -> Attempt:
    return Attempt(error.failure.phase, None, error.failure, error.refused, error.dialogue)


def _record(attempt: Attempt, verdicts: Mapping[str, Verdict], ended_at: float) -> AttemptLog:
    refused = tuple(f"{address}: {reply}" for address, reply in attempt.refused.items())
    return AttemptLog(
        ended_at=ended_at,
        phase=attempt.phase,
        failure=attempt.failure.kind if attempt.failure else None,
        detail=attempt.failure.detail if attempt.failure else None,
        replies=refused + ((str(attempt.reply),) if attempt.reply else ()),
        verdicts={address: f"{verdict.action} ({verdict.rule})" for address, verdict in verdicts.items()},
        dialogue=attempt.dialogue,
        in_doubt=any(verdict.in_doubt for verdict in verdicts.values()),
    )


async def _mark(claimed: Claimed, store: Store, *, siblings: int) -> bool:
    """Make durable that the final dot may be sent. False: it must not be sent."""
    try:
        if await store.mark_dot(claimed, siblings=siblings):
            return True
        logs.lease_lost(claimed.id, mailbox=claimed.mailbox, where="before the final dot")
    except StoreUnavailableError as error:
        logs.store_failed("mark_dot", error, email=claimed.id)
    return False


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
