"""Submission of emails: the steps from an HTTP request to the commit, in one order for all routes.

Authenticate, check the limits, read the Idempotency-Key and the body, wait for the slot of large bodies, parse, build
each email, commit. A route supplies the form of its requests (`SubmissionEndpoint`) and renders the `Submitted`.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from starlette.requests import Request

from app import logs, metrics, tracing
from app.api.auth.authenticator import Authenticator
from app.api.auth.limits import (
    COSTLY_SIZE,
    INLINE_SIZE,
    AttemptLimiter,
    RateLimitHeaders,
    memory_budget,
)
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.http import body
from app.api.http.headers import FIELDS, InFlightKeys, idempotency_key
from app.api.problems.key_policy import LaneNotAllowed, RateLimitExceeded, RecipientNotAllowed, SenderNotAllowed
from app.api.problems.problem import BatchRefused, DiskAlmostFull, IdempotencyMismatch, MessageTooLarge, Problem
from app.api.problems.validation import check_query_names
from app.api.submission import schema
from app.api.submission.fields import ValidationContext, Warned
from app.frozen import frozen
from app.mail import retry_schedule
from app.mail.key_policy import Policy
from app.mail.message.address import Address
from app.mail.message.message import Message, Submission, compose, summarize
from app.mail.routing import allowed
from app.store.db.uuid7 import IdGenerator
from app.store.keys.records import Key
from app.store.queue.accept import (
    Acceptance,
    Accepted,
    Idempotency,
    IdempotencyConflict,
    RateLimited,
    amount_of,
)

_NOTHING = nullcontext()
_CACHED_SENDERS = 1024  # whose pools are cached
_Rejected = Sequence[tuple[int, Problem]]  # by the index in the request


@frozen
class PreparedEmail:
    """An email that passed validation, and the `warnings` member of its response.

    A repeated request with the same Idempotency-Key is validated again, so its response has the same warnings.
    """

    acceptance: Acceptance
    warned: Warned


_Built = tuple[Sequence[PreparedEmail], _Rejected, Idempotency | None]


def _one_email(value: Any) -> Sequence[Any]:
    return (value,)


def _unchanged(value: Any) -> Any:
    return value


def _never(_: Request) -> bool:
    return False


@frozen
class SubmissionEndpoint:
    """Form of the requests of one route that takes emails. Its functions raise Problem and may run in any thread.

    More than one email: the request is a batch. A strict batch is refused as a whole; a permissive one without the
    emails that are refused.
    """

    path: str  # an Idempotency-Key is valid for one path
    max_emails: int = 1
    parse: Callable[[Any], Sequence[Any]] = _one_email  # JSON value of the body -> its emails
    to_native: Callable[[Any], Any] = _unchanged  # one of them -> the form of POST /emails
    with_bearer: Callable[[Request], Request] = _unchanged  # the request with its API key in `Authorization`
    is_permissive: Callable[[Request], bool] = _never
    dry_run: bool = False  # nothing is stored, and no Idempotency-Key read


@frozen
class Submitted:
    """Result of a submission. A replay has the ids of the first request, whose number may differ from `accepted`."""

    ids: Sequence[UUID]  # of the stored emails, in the order of the request; empty after a dry run
    accepted: Sequence[PreparedEmail]
    rejected: _Rejected
    permissive: bool


class SubmissionPipeline:
    """The submissions of one process: it assigns the ids and knows the Idempotency-Keys in use."""

    def __init__(
        self,
        context: ApiContext,
        authenticator: Authenticator,
        rates: RateLimitHeaders,
        refusals: RefusalAudit,
        attempts: AttemptLimiter,
    ) -> None:
        self._context = context
        self._authenticator = authenticator
        self._rates = rates
        self._refusals = refusals
        self._attempts = attempts
        self._spans = tracing.recorder()
        self._route = lru_cache(_CACHED_SENDERS)(context.route)
        self._ids = IdGenerator()
        self._in_flight = InFlightKeys()

    async def submit(self, request: Request, endpoint: SubmissionEndpoint) -> Submitted:
        """Validate and store the emails of a request: when this returns, they are on the disk. Raises Problem."""
        key = await self._authenticator.any_key(endpoint.with_bearer(request))
        self._check_limits(key, endpoint)
        if request.scope.get("query_string"):
            check_query_names(request, ())
        given = None if endpoint.dry_run else request.scope[FIELDS].get(b"idempotency-key")
        token = None if given is None else idempotency_key(given)
        permissive = endpoint.is_permissive(request)
        raw = await body.read(request, self._context.limits)
        with _NOTHING if token is None else self._in_flight.hold(key.id, endpoint.path, token):
            now = self._context.clock.now()
            ids = [self._ids.new(now) for _ in range(endpoint.max_emails)]
            build = partial(self._build, endpoint, key, raw, token, ids, now, request.scope["caller"].client)
            if endpoint.max_emails == 1 and len(raw) <= COSTLY_SIZE:
                return await self._store(build(), request, endpoint, key, permissive)
            budget = memory_budget(request.scope)
            if endpoint.max_emails == 1 and len(raw) <= INLINE_SIZE:
                async with budget.costly_work_slot(request.scope, len(raw)):
                    return await self._store(build(), request, endpoint, key, permissive)
            # Large work runs in a thread, so that other requests need not wait for it.
            # A batch may have thousands of recipients, so that hundreds of batches would fill the queue of the writer.
            async with budget.large_work_slot(request.scope, len(raw), above=COSTLY_SIZE):
                return await self._store(await asyncio.to_thread(build), request, endpoint, key, permissive)

    async def submit_as(self, key: Key, value: Any, client: str) -> UUID:
        """Validate and store one email in the form of POST /emails, as a caller with this key. Raises Problem."""
        if not self._context.take_disk(0):
            raise DiskAlmostFull
        now = self._context.clock.now()
        prepared = self._prepare(value, key, self._ids.new(now), now, client=client, repaired=False)
        (stored,) = await self._commit([prepared.acceptance], key, None)
        return stored

    def _check_limits(self, key: Key, endpoint: SubmissionEndpoint) -> None:
        """Check what is known before the body is read. Raises TooManyAttempts, DiskAlmostFull."""
        if endpoint.dry_run:
            self._attempts.admit(key)
            return
        self._attempts.send(key)
        if not self._context.take_disk(0):
            raise DiskAlmostFull

    def _build(
        self,
        endpoint: SubmissionEndpoint,
        key: Key,
        raw: bytes | bytearray,
        token: str | None,
        ids: Sequence[UUID],
        now: float,
        client: str,
    ) -> _Built:
        """Parse the body and build its emails. Raises what is wrong with the request, or with its only email."""
        value, repaired = body.parse_email(raw)
        accepted: list[PreparedEmail] = []
        rejected: list[tuple[int, Problem]] = []
        for index, (item, id_) in enumerate(zip(endpoint.parse(value), ids, strict=False)):
            try:
                native = endpoint.to_native(item)
                accepted.append(self._prepare(native, key, id_, now, client=client, repaired=repaired))
            except Problem as problem:
                if endpoint.max_emails == 1:
                    raise
                rejected.append((index, problem))
        once = None if token is None else Idempotency(key.id, endpoint.path, token, body.canonical_digest(value))
        return accepted, rejected, once

    def _prepare(self, value: Any, key: Key, id_: UUID, now: float, *, client: str, repaired: bool) -> PreparedEmail:
        """Validate and compose one email, in any thread. Raises Invalid, NotAllowed, MessageTooLarge.

        `value` has the form of POST /emails, `now` is in epoch seconds, `client` is the network address of the caller.
        `repaired`: lone surrogates in the request were replaced.
        """
        policy, limits = key.policy, self._context.limits
        default_sender = policy.default_sender or self._context.default_sender
        reading = ValidationContext(
            now,
            default_sender,
            limits.max_recipients,
            policy.default_lane,
            strict=policy.strict or self._context.strict,
            repaired=repaired,
        )
        submission = schema.read_email(value, reading)
        _authorize(submission, policy)
        pool = _pool_for(submission.sender, self._route, default_sender)
        return PreparedEmail(self._compose(submission, id_, key, pool, now, client), reading.warnings.member())

    def _compose(self, submission: Submission, id_: UUID, key: Key, pool: str, now: float, client: str) -> Acceptance:
        due = submission.scheduled_at or now
        message = compose(key.policy.apply_redirect(submission), id=id_, now=datetime.fromtimestamp(int(due), UTC))
        self._check_size(message, submission)
        return Acceptance(
            id=id_,
            key_id=key.id,
            pool=pool,
            message=message,
            head=summarize(submission, client),
            created_at=now,
            due_at=due,
            expires_at=due + (submission.expires_in or retry_schedule.MESSAGE_LIFETIME),
            scheduled_at=submission.scheduled_at,
            on_unknown=submission.on_unknown,
            lane=submission.lane,
            coalesce=submission.coalesce,
            traceparent=self._spans.traceparent() if self._spans else None,
            to_sink=key.policy.sink,
            ignores_suppressions=submission.lane in key.policy.ignore_suppressions,
        )

    def _check_size(self, message: Message, submission: Submission) -> None:
        limit = self._context.limits.max_message_bytes
        if len(message.content) > limit:
            raise MessageTooLarge(len(message.content), limit, attachments=bool(submission.attachments))

    async def _store(
        self, built: _Built, request: Request, endpoint: SubmissionEndpoint, key: Key, permissive: bool
    ) -> Submitted:
        """Store the emails that were built, unless the batch or the route forbids it. Raises BatchRefused."""
        accepted, rejected, once = built
        if rejected and not permissive:
            raise BatchRefused(rejected)
        for _, problem in rejected:
            self._refusals.record(request.scope, problem)
        stored: Sequence[UUID] = ()
        if accepted and not endpoint.dry_run:
            stored = await self._commit([email.acceptance for email in accepted], key, once)
        return Submitted(stored, accepted, rejected, permissive)

    async def _commit(self, acceptances: Sequence[Acceptance], key: Key, once: Idempotency | None) -> Sequence[UUID]:
        """Store all of them in one durable commit, and return their ids, or those of the first request with this
        Idempotency-Key. Raises IdempotencyMismatch, RateLimitExceeded, DiskAlmostFull."""
        rate_limit, amount = key.policy.rate_limit, amount_of(acceptances)
        if rate_limit is not None and once is None:  # a replay costs nothing, and only the store recognizes one
            self._rates.check(key.id, rate_limit, amount)
        if not self._context.take_disk(amount.bytes):
            raise DiskAlmostFull
        with self._spans.span("commit", tuple(one.id for one in acceptances)) if self._spans else _NOTHING:
            result = await self._context.store.accept(acceptances, once, rate_limit)
        if isinstance(result, IdempotencyConflict):
            raise IdempotencyMismatch
        if result.usage is not None:
            self._rates.record_usage(key.id, result.usage)
        if isinstance(result, RateLimited):
            raise RateLimitExceeded(result.window, amount, acceptances[0].created_at)
        if not result.replayed:
            for acceptance in acceptances:
                _record_acceptance(acceptance, key)
            _record_effects(result, key)
        return result.ids


def _authorize(submission: Submission, policy: Policy) -> None:
    """Check an email against the policy. Raises SenderNotAllowed, LaneNotAllowed, RecipientNotAllowed."""
    if policy.senders and not allowed(submission.sender, policy.senders):
        raise SenderNotAllowed(submission.sender.addr_spec, f"This API key may send as {', '.join(policy.senders)}.")
    if not policy.takes_lane(submission.lane):
        raise LaneNotAllowed(submission.lane, policy.lanes)
    if disallowed := policy.disallowed_recipients(submission):
        raise RecipientNotAllowed([(field, address.addr_spec) for field, address in disallowed], policy.recipients)


def _pool_for(sender: Address, route: Callable[[Address], str | None], default: str | None) -> str:
    """Return the pool that relays for this sender. Raises SenderNotAllowed."""
    pool = route(sender)
    if pool is None:
        known = f"Use {default}" if default else "Use the address of a mailbox"
        raise SenderNotAllowed(sender.addr_spec, f"{known}, or add this sender to a pool in the settings.")
    return pool


def _record_effects(accepted: Accepted, key: Key) -> None:
    for id_, listings in accepted.suppressed.items():
        for listing in listings:
            metrics.recipient_suppressed(listing.origin)
        logs.suppressed(id_, recipients=len(listings), key=key.name)
    for old in accepted.superseded:
        logs.superseded(old, key=key.name)


def _record_acceptance(acceptance: Acceptance, key: Key) -> None:
    metrics.accepted(acceptance.pool, acceptance.lane)
    logs.accepted(
        acceptance.id,
        key=key.name,
        pool=acceptance.pool,
        size=len(acceptance.message.content),
        recipients=len(acceptance.message.envelope.rcpt_to),
    )
