"""Why an email or a mailbox stands where it does, with the names filled in, from what was read. Reads nothing itself.

For GET /emails/{id}, `postern emails show` and the console alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.mail.explain import explain, fill_placeholders
from app.mail.lifecycle import WAITING_STATES, RecipientState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.send_estimate import MailboxCapacity, MailboxLimits, estimate_send_time
from app.store.mailboxes.records import MailboxRecord
from app.store.read.records import QueuePosition
from app.store.records import Email


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Why an email stands where it does, its place in the queue (1 goes next), and when it should go."""

    why: Explanation
    position: int | None = None
    estimated_send_at: float | None = None  # epoch seconds


def delivery_status(
    email: Email, outlook: QueuePosition | None, capacities: Mapping[str, MailboxLimits], now: float
) -> DeliveryStatus:
    """`outlook` is of a waiting email; `capacities` are those of the mailboxes, by name."""
    ahead = outlook.ahead if outlook else None
    return DeliveryStatus(
        why(email, outlook.mailboxes if outlook else (), now),
        position=None if ahead is None else ahead + 1,
        estimated_send_at=estimate(email.due_at or now, outlook, capacities, now)
        if email.state in WAITING_STATES
        else None,
    )


def why(email: Email, mailboxes: Iterable[MailboxRecord], now: float) -> Explanation:
    """Never without words. `mailboxes` are those of its pool, or none if it does not wait."""
    scheduled_at = email.scheduled_at if email.scheduled_at is not None and email.scheduled_at > now else None
    mailbox = awaited_mailbox(email, mailboxes, now) if waits(email, now) else None
    relayed = all(recipient.state is RecipientState.RELAYED for recipient in email.recipients)
    kept = email.content_removed_at is None
    words = explain(
        email.state, email.explanation, relayed=relayed, scheduled_at=scheduled_at, mailbox=mailbox, content_stored=kept
    )
    return fill_placeholders(words, {"id": str(email.id), **({"mailbox": email.mailbox} if email.mailbox else {})})


def waits(email: Email, now: float) -> bool:
    """Whether it waits for something else than the moment for which its caller has scheduled it."""
    return email.state in WAITING_STATES and not (email.scheduled_at is not None and email.scheduled_at > now)


def estimate(
    due_at: float, outlook: QueuePosition | None, capacities: Mapping[str, MailboxLimits], now: float
) -> float | None:
    """When a message should go that waits, or would; None when nobody can say. Times in epoch seconds."""
    if outlook is None or outlook.ahead is None:
        return max(now, due_at)
    return estimate_send_time(outlook.ahead, [*_ways(outlook, capacities, now)], now)


def _ways(outlook: QueuePosition, capacities: Mapping[str, MailboxLimits], now: float) -> Iterator[MailboxCapacity]:
    for record in outlook.mailboxes:
        condition = condition_at(record, now)
        if record.name in capacities and condition.health is not Health.HELD:
            opens_at = now if condition.health is Health.OPEN else _opens_at(condition)
            sent, recipients = outlook.sent[record.name], outlook.recipients[record.name]
            yield MailboxCapacity(capacities[record.name], opens_at, sent, recipients)


def awaited_mailbox(
    email: Email, mailboxes: Iterable[MailboxRecord], now: float
) -> tuple[str, MailboxCondition] | None:
    """The mailbox that a waiting email waits for: the one of its pool that opens first; None when one is open.

    Nor does it wait for one whose pause ends before the email is due again: then it waits for itself.
    """
    ways = [(record.name, condition_at(record, now)) for record in mailboxes]
    if not ways or any(condition.health is Health.OPEN for _, condition in ways):
        return None
    name, condition = min(ways, key=lambda way: _opens_at(way[1]))
    if condition.health is Health.PAUSED and _opens_at(condition) <= (email.due_at or 0.0):
        return None
    return name, condition


def _opens_at(condition: MailboxCondition) -> float:
    return float("inf") if condition.until is None else condition.until


def condition_at(record: MailboxRecord, now: float) -> MailboxCondition:
    """A mailbox's condition at `now` (epoch seconds), with its name in the words for people.

    A pause ends by time alone, which its relay need not have written yet.
    """
    condition = record.condition
    if condition.health is Health.PAUSED and condition.until is not None and condition.until <= now:
        return replace(condition, health=Health.OPEN, since=condition.until, until=None, explanation=None)
    if condition.explanation is not None:
        return replace(condition, explanation=fill_placeholders(condition.explanation, {"mailbox": record.name}))
    return condition
