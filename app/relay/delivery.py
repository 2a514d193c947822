"""Delivery attempt of one message, login without a message, and the evaluation of an attempt.

An error of a session, which has no reply, becomes an Attempt only here.
"""

from collections.abc import Mapping
from dataclasses import replace

from app import logs
from app.frozen import frozen
from app.mail.lifecycle import Settlement, settle
from app.mail.outcome.attempt import Attempt
from app.mail.outcome.verdict import Action, Verdict
from app.mail.policy import judge
from app.mail.suppression import bounces
from app.smtp.failure import SessionError
from app.smtp.pool import SessionPool
from app.store import Store, StoreUnavailableError
from app.store.records import AttemptLog, Claimed


@frozen
class Finished:
    """Attempt that has ended, with its verdicts and settlement: passed from the attempt to settlement and reporting."""

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
        return await _mark(claimed, store)

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


async def _mark(claimed: Claimed, store: Store) -> bool:
    """Make durable that the final dot may be sent. False: it must not be sent."""
    try:
        if await store.mark_dot(claimed):
            return True
        logs.lease_lost(claimed.id, mailbox=claimed.mailbox, where="before the final dot")
    except StoreUnavailableError as error:
        logs.store_failed("mark_dot", error, email=claimed.id)
    return False
