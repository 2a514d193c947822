"""What every way to hand in an email has in common: from its JSON to an Acceptance, and from there to the disk."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app import logs, metrics, tracing
from app.api.auth.attempt_limit import AttemptLimiter
from app.api.auth.rate_limit_headers import RateLimitHeaders
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.http.idempotency import InFlight
from app.api.problems.key_policy import RateLimitExceeded
from app.api.problems.problem import DiskAlmostFull, IdempotencyMismatch, MessageTooLarge
from app.api.submission import authorization, schema
from app.api.submission.fields import ValidationContext
from app.api.submission.warnings import Warned
from app.frozen import frozen
from app.mail import retry_schedule
from app.mail.message.compose import compose
from app.mail.message.message import Message, Submission
from app.store.db.uuid7 import Ids
from app.store.keys.rate_limits import amount_of
from app.store.keys.records import Key
from app.store.records import Acceptance, Accepted, Idempotency, IdempotencyConflict, MessageSummary, RateLimited


@frozen
class Prepared:
    """An email that passed validation, and the `warnings` member of its answer.

    A repeated request with the same Idempotency-Key is validated again, so its answer has the same warnings.
    """

    acceptance: Acceptance
    warned: Warned


class SubmissionPipeline:
    """One for all routes: it hands out the ids, and knows which Idempotency-Keys are being answered."""

    def __init__(
        self, edge: ApiContext, rates: RateLimitHeaders, refusals: RefusalAudit, attempts: AttemptLimiter
    ) -> None:
        self._edge = edge
        self.rates = rates
        self.attempts = attempts
        self.refusals = refusals
        self.ids = Ids()
        self.in_flight = InFlight()

    def admit(self, key: Key) -> None:
        """Check what is known before the body is read. Raises TooManyAttempts, DiskAlmostFull."""
        self.attempts.send(key)
        if not self._edge.take_disk(0):
            raise DiskAlmostFull

    def build(self, value: Any, key: Key, id_: UUID, now: float, *, repaired: bool) -> Prepared:
        """All that can be said before the store is asked. Raises Invalid, NotAllowed, MessageTooLarge.

        Refers to nothing that changes, so any thread may do it. `now` in epoch seconds. `repaired`: lone surrogates in
        the request were replaced.
        """
        policy, limits = key.policy, self._edge.limits
        default_sender = policy.default_sender or self._edge.default_sender
        reading = ValidationContext(now, default_sender, limits.max_recipients, policy.default_lane, repaired=repaired)
        submission = schema.read_email(value, reading)
        authorization.check(submission, policy)
        pool = authorization.pool_for(submission.sender, self._edge.route, default_sender)
        return Prepared(self._compose(submission, id_, key, pool, now), reading.warnings.member())

    async def commit(self, acceptances: Sequence[Acceptance], key: Key, once: Idempotency | None) -> Accepted:
        """The durable line: when this returns, all of them are on the disk. Raises IdempotencyMismatch, BudgetSpent,
        DiskAlmostFull."""
        budget, amount = key.policy.rate_limit, amount_of(acceptances)
        if budget is not None and once is None:  # a repetition costs nothing, and only the store knows it for one
            self.rates.check(key.id, budget, amount)
        if not self._edge.take_disk(amount.bytes):
            raise DiskAlmostFull
        with tracing.step("commit", *(one.id for one in acceptances)):
            kept = await self._edge.store.accept(acceptances, once, budget)
        if isinstance(kept, IdempotencyConflict):
            raise IdempotencyMismatch
        if kept.usage is not None:
            self.rates.record_usage(key.id, kept.usage)
        if isinstance(kept, RateLimited):
            raise RateLimitExceeded(kept.window, amount, acceptances[0].created_at)
        if not kept.replayed:
            for acceptance in acceptances:
                _record_accepted(acceptance, key)
            for old in kept.superseded:
                logs.superseded(old, key=key.name)
        return kept

    def _compose(self, submission: Submission, id_: UUID, key: Key, pool: str, now: float) -> Acceptance:
        due = submission.scheduled_at or now
        message = compose(key.policy.apply_redirect(submission), id=id_, now=datetime.fromtimestamp(due, UTC))
        self._check_size(message, submission)
        return Acceptance(
            id=id_,
            key_id=key.id,
            pool=pool,
            message=message,
            head=_summary(submission),
            created_at=now,
            due_at=due,
            expires_at=due + (submission.expires_in or retry_schedule.MESSAGE_LIFETIME),
            scheduled_at=submission.scheduled_at,
            on_unknown=submission.on_unknown,
            lane=submission.lane,
            coalesce=submission.coalesce,
            traceparent=tracing.traceparent(),
            sunk=key.policy.sink,
        )

    def _check_size(self, message: Message, submission: Submission) -> None:
        limit = self._edge.limits.max_message_bytes
        if len(message.content) > limit:
            raise MessageTooLarge(len(message.content), limit, attachments=bool(submission.attachments))


def _summary(submission: Submission) -> MessageSummary:
    return MessageSummary(
        sender=submission.sender.render(),
        to=tuple(address.render() for address in submission.to),
        subject=submission.subject,
        cc=tuple(address.render() for address in submission.cc),
        bcc=tuple(address.render() for address in submission.bcc),
        reply_to=tuple(address.render() for address in submission.reply_to),
        tags=submission.tags,
        headers=submission.headers,
    )


def _record_accepted(acceptance: Acceptance, key: Key) -> None:
    metrics.accepted(acceptance.pool, acceptance.lane)
    logs.accepted(
        acceptance.id,
        key=key.name,
        pool=acceptance.pool,
        size=len(acceptance.message.content),
        recipients=len(acceptance.message.envelope.rcpt_to),
    )
