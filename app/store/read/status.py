"""Status of emails and mailboxes: explanation, queue position and estimated send time, computed from records. Pure.

Used by GET /emails/{id}, `postern emails show` and the console.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.mail.explain import explain, explain_delivery, fill_placeholders
from app.mail.lifecycle import WAITING_STATES, MessageState, is_relayed
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.office365.limits import MailboxLimits
from app.mail.outcome.verdict import Explanation
from app.mail.send_estimate import MailboxCapacity, estimate_send_time
from app.store.mailboxes.records import MailboxRecord
from app.store.read.records import QueuePosition
from app.store.records import Email


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Explanation of an email, its queue position (1 is next), and its estimated send time."""

    why: Explanation
    position: int | None = None
    estimated_send_at: float | None = None  # epoch seconds


def delivery_status(
    email: Email, queued: QueuePosition | None, capacities: Mapping[str, MailboxLimits], now: float
) -> DeliveryStatus:
    """Return the status. `queued`: of a waiting email; `capacities`: limits by mailbox."""
    ahead = queued.ahead if queued else None
    return DeliveryStatus(
        explain_email(email, queued.mailboxes if queued else (), now),
        position=None if ahead is None else ahead + 1,
        estimated_send_at=estimate(email.due_at or now, queued, capacities, now)
        if email.state in WAITING_STATES
        else None,
    )


def explain_email(email: Email, mailboxes: Iterable[MailboxRecord], now: float) -> Explanation:
    """Explain the state of an email. `mailboxes`: those of its pool; none if it does not wait."""
    scheduled_at = email.scheduled_at if email.scheduled_at is not None and email.scheduled_at > now else None
    mailbox = _awaited_mailbox(email, mailboxes, now) if is_waiting(email, now) else None
    relayed = is_relayed([recipient.state for recipient in email.recipients])
    stored = email.content_removed_at is None
    explanation = explain(
        email.state,
        email.explanation,
        relayed=relayed,
        scheduled_at=scheduled_at,
        mailbox=mailbox,
        content_stored=stored,
    )
    if email.state is MessageState.DONE and relayed:
        deliveries = [one.delivery for one in email.recipients]
        explanation = explain_delivery(
            explanation,
            [None if one is None else (one.state, one.cause, one.duplicate_id is not None) for one in deliveries],
        )
    return fill_placeholders(
        explanation, {"id": str(email.id), **({"mailbox": email.mailbox} if email.mailbox else {})}
    )


def is_waiting(email: Email, now: float) -> bool:
    """Return whether it waits, and not for its scheduled time."""
    return email.state in WAITING_STATES and not (email.scheduled_at is not None and email.scheduled_at > now)


def estimate(
    due_at: float, queued: QueuePosition | None, capacities: Mapping[str, MailboxLimits], now: float
) -> float | None:
    """Estimate the send time of a waiting message; None: unknown. Times are epoch seconds."""
    if queued is None or queued.ahead is None:
        return max(now, due_at)
    return estimate_send_time(queued.ahead, [*_open_mailboxes(queued, capacities, now)], now)


def _open_mailboxes(
    queued: QueuePosition, capacities: Mapping[str, MailboxLimits], now: float
) -> Iterator[MailboxCapacity]:
    for record in queued.mailboxes:
        condition = condition_at(record, now)
        if record.name in capacities and condition.health is not Health.HELD:
            opens_at = now if condition.health is Health.OPEN else _opens_at(condition)
            sent, recipients = queued.sent[record.name], queued.recipients[record.name]
            yield MailboxCapacity(capacities[record.name], opens_at, sent, recipients)


def _awaited_mailbox(
    email: Email, mailboxes: Iterable[MailboxRecord], now: float
) -> tuple[str, MailboxCondition] | None:
    """Return the mailbox that a waiting email waits for: the one of its pool that opens first; None if one is open.

    Also None if its pause ends before the email is due again: then the email waits for its own retry.
    """
    conditions = [(record.name, condition_at(record, now)) for record in mailboxes]
    if not conditions or any(condition.health is Health.OPEN for _, condition in conditions):
        return None
    name, condition = min(conditions, key=lambda named: _opens_at(named[1]))
    if condition.health is Health.PAUSED and _opens_at(condition) <= (email.due_at or 0.0):
        return None
    return name, condition


def _opens_at(condition: MailboxCondition) -> float:
    return float("inf") if condition.until is None else condition.until


def condition_at(record: MailboxRecord, now: float) -> MailboxCondition:
    """Return a mailbox's condition at `now` (epoch seconds), with its name in the explanation.

    A pause ends by time alone, even if the relay has not stored that yet.
    """
    condition = record.condition
    if condition.health is Health.PAUSED and condition.until is not None and condition.until <= now:
        return replace(condition, health=Health.OPEN, since=condition.until, until=None, explanation=None)
    if condition.explanation is not None:
        return replace(condition, explanation=fill_placeholders(condition.explanation, {"mailbox": record.name}))
    return condition
