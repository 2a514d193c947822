"""Building of one email: from its JSON to the `Acceptance` that the store commits. Reads no store and no clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app import tracing
from app.api.context import ApiContext
from app.api.problems.key_policy import LaneNotAllowed, RecipientNotAllowed, SenderNotAllowed
from app.api.problems.problem import MessageTooLarge
from app.api.submission import schema
from app.api.submission.fields import ValidationContext
from app.api.submission.warnings import Warned
from app.frozen import frozen
from app.mail import retry_schedule
from app.mail.key_policy import Policy
from app.mail.message.address import Address
from app.mail.message.compose import compose
from app.mail.message.message import Message, Submission
from app.mail.routing import allowed
from app.store.keys.records import Key
from app.store.records import Acceptance, MessageSummary


@frozen
class PreparedEmail:
    """An email that passed validation, and the `warnings` member of its response.

    A repeated request with the same Idempotency-Key is validated again, so its response has the same warnings.
    """

    acceptance: Acceptance
    warned: Warned


class EmailBuilder:
    """Validation, authorization and composition of single emails. Safe to use from any thread."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def build(self, value: Any, key: Key, id_: UUID, now: float, *, client: str, repaired: bool) -> PreparedEmail:
        """Validate and compose one email. Raises Invalid, NotAllowed, MessageTooLarge.

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
            strict=policy.strict,
            repaired=repaired,
        )
        submission = schema.read_email(value, reading)
        _authorize(submission, policy)
        pool = _pool_for(submission.sender, self._context.route, default_sender)
        return PreparedEmail(self._compose(submission, id_, key, pool, now, client), reading.warnings.member())

    def _compose(self, submission: Submission, id_: UUID, key: Key, pool: str, now: float, client: str) -> Acceptance:
        due = submission.scheduled_at or now
        message = compose(key.policy.apply_redirect(submission), id=id_, now=datetime.fromtimestamp(due, UTC))
        self._check_size(message, submission)
        return Acceptance(
            id=id_,
            key_id=key.id,
            pool=pool,
            message=message,
            head=_summary(submission, client),
            created_at=now,
            due_at=due,
            expires_at=due + (submission.expires_in or retry_schedule.MESSAGE_LIFETIME),
            scheduled_at=submission.scheduled_at,
            on_unknown=submission.on_unknown,
            lane=submission.lane,
            coalesce=submission.coalesce,
            traceparent=tracing.traceparent(),
            sunk=key.policy.sink,
            ignores_suppressions=submission.lane in key.policy.ignore_suppressions,
        )

    def _check_size(self, message: Message, submission: Submission) -> None:
        limit = self._context.limits.max_message_bytes
        if len(message.content) > limit:
            raise MessageTooLarge(len(message.content), limit, attachments=bool(submission.attachments))


def _summary(submission: Submission, client: str) -> MessageSummary:
    return MessageSummary(
        sender=submission.sender.render(),
        to=tuple(address.render() for address in submission.to),
        subject=submission.subject,
        cc=tuple(address.render() for address in submission.cc),
        bcc=tuple(address.render() for address in submission.bcc),
        reply_to=tuple(address.render() for address in submission.reply_to),
        tags=submission.tags,
        headers=submission.headers,
        client=client,
    )


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
