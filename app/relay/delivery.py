"""One message offered once. The only place where the absence of a reply is caught; it becomes an Attempt."""

from collections.abc import Mapping

from app import logs
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Verdict
from app.smtp.failure import SessionError
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.records import AttemptLog, Claimed


async def attempt_delivery(claimed: Claimed, store: Store, pool: SessionPool) -> Attempt:
    """Relay the content to the pending recipients over a session of the pool. Raises StoreUnavailable."""
    content = claimed.content or await store.content(claimed.id)
    if content is None:
        raise LookupError(f"the content of {claimed.id} is gone while it is active")

    async def before_dot() -> bool:
        return await _mark(claimed, store)

    try:
        return await pool.deliver(claimed.envelope, content, before_dot)
    except SessionError as failed:
        return attempt_of(failed)


async def attempt_login(pool: SessionPool) -> Attempt | None:
    """Open a session and log in, nothing more. None when that worked (or a session stands open)."""
    try:
        return await pool.ensure_open()
    except SessionError as failed:
        return attempt_of(failed)


def attempt_of(failed: SessionError) -> Attempt:
    """The attempt that got no reply, as a value."""
    return Attempt(failed.failure.phase, None, failed.failure, failed.refused, failed.dialogue)


def record_of(attempt: Attempt, verdicts: Mapping[str, Verdict], ended_at: float) -> AttemptLog:
    """What is kept of it for people."""
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


async def _mark(claimed: Claimed, store: Store) -> bool:
    """Make durable that the final dot may leave. False: it must not."""
    try:
        if await store.mark_dot(claimed):
            return True
        logs.lease_lost(claimed.id, mailbox=claimed.mailbox, where="before the final dot")
    except StoreUnavailableError as error:
        logs.store_failed("mark_dot", error, email=claimed.id)
    return False
