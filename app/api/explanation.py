"""Why an email stands where it does, with the names filled in: for GET /emails/{id} and `postern emails show`."""

from collections.abc import Iterable

from app.api.mailboxes import standing
from app.mail.explain import explain, named
from app.mail.health import Condition, Health
from app.mail.lifecycle import MessageState, RecipientState
from app.mail.verdict import Explanation
from app.store import Store
from app.store.records import Email, MailboxRecord

_WAITING = frozenset({MessageState.QUEUED, MessageState.DEFERRED})


async def why(email: Email, store: Store, now: float) -> Explanation:
    """Never without words. Reads the mailboxes for an email that waits, nothing for any other."""
    scheduled_at = email.scheduled_at if email.scheduled_at is not None and email.scheduled_at > now else None
    waits = email.state in _WAITING and scheduled_at is None
    mailbox = awaited(email, await store.mailboxes(), now) if waits else None
    relayed = all(recipient.state is RecipientState.RELAYED for recipient in email.recipients)
    words = explain(email.state, email.explanation, relayed=relayed, scheduled_at=scheduled_at, mailbox=mailbox)
    return named(words, {"id": str(email.id), **({"mailbox": email.mailbox} if email.mailbox else {})})


def awaited(email: Email, mailboxes: Iterable[MailboxRecord], now: float) -> tuple[str, Condition] | None:
    """The mailbox that a waiting email waits for: the one of its pool that opens first; None when one is open.

    Nor does it wait for one whose pause ends before the email is due again: then it waits for itself.
    """
    ways = [(record.name, standing(record, now)) for record in mailboxes if record.pool == email.pool]
    if not ways or any(condition.health is Health.OPEN for _, condition in ways):
        return None
    name, condition = min(ways, key=lambda way: _opens_at(way[1]))
    if condition.health is Health.PAUSED and _opens_at(condition) <= (email.due_at or 0.0):
        return None
    return name, condition


def _opens_at(condition: Condition) -> float:
    return float("inf") if condition.until is None else condition.until
