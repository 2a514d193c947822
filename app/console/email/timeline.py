"""Timeline of an email: acceptance, attempts, deliveries, end, removal of content, and the next step. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import ENDED_STATES, MessageState
from app.store.read.status import DeliveryStatus
from app.store.records import AttemptRecord, Email

_DELIVERIES = {DeliveryState.DELIVERED: "good", DeliveryState.BOUNCED: "bad"}  # by state, the kind of the step


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `kind` is `good`, `bad`, `warn`, `next` (it has not happened yet) or "". `at` None: not known."""

    at: float | None
    title: str
    text: str = ""
    kind: str = ""


def timeline(email: Email, label: str, key: str, delivery: DeliveryStatus, now: float) -> list[Step]:
    """Return the steps in order; the coming one is the last. `key` is the name of the API key."""
    past = sorted(_past(email, label, key), key=lambda step: step.at or 0.0)
    return [*past, *_next(email, delivery, now)]


def _past(email: Email, label: str, key: str) -> Iterator[Step]:
    client = f" from {email.head.client}" if email.head.client else ""
    yield Step(email.created_at, "Accepted", f"with the API key {key}{client}")
    if email.scheduled_at is not None:
        yield Step(email.created_at, "Scheduled")
    yield from map(_attempt, email.attempts)
    if email.ended_at is not None and email.state in ENDED_STATES:
        end = "sent" if label in _DELIVERIES else label  # the deliveries are steps of their own
        yield Step(email.ended_at, end.replace("_", " ").capitalize(), kind=_KINDS.get(end, ""))
    for recipient in email.recipients:
        if recipient.delivery is not None:
            kind = _DELIVERIES.get(recipient.delivery.state, "warn")
            state = str(recipient.delivery.state).replace("_", " ").capitalize()
            yield Step(
                recipient.delivery.at,
                state,
                f"{recipient.address}: {recipient.delivery.cause.text or ''}".rstrip(": "),
                kind,
            )
    if email.content_removed_at is not None:
        yield Step(email.content_removed_at, "Content removed", "by retention or erasure")


_KINDS = {"sent": "good", "failed": "bad"}


def _attempt(attempt: AttemptRecord) -> Step:
    title = f"Attempt {attempt.number}"
    if attempt.ended_at is None:
        return Step(attempt.started_at, title, f"{attempt.mailbox}: in progress", "next")
    if attempt.in_doubt:
        return Step(attempt.started_at, title, f"{attempt.mailbox}: outcome unknown, because no reply came", "warn")
    reply = attempt.replies[-1] if attempt.replies else f"no reply: {attempt.failure or attempt.detail or ''}"
    return Step(attempt.started_at, title, f"{attempt.mailbox}: {reply}", "good" if is_accepted(attempt) else "bad")


def is_accepted(attempt: AttemptRecord) -> bool:
    """Return whether Exchange accepted the email for a recipient."""
    return any(verdict.startswith("relayed") for verdict in attempt.verdicts.values())


def _next(email: Email, delivery: DeliveryStatus, now: float) -> Iterator[Step]:
    if email.state in ENDED_STATES or email.state is MessageState.ACTIVE:
        return
    if email.state is MessageState.HELD:
        yield Step(None, "Held", "An operator decides: retry, confirm or cancel.", "next")
        return
    at = delivery.estimated_send_at or email.due_at
    if delivery.estimated_send_at is None and at is not None and at <= now:
        yield Step(None, "Waiting", "until a mailbox of its pool can send", "next")
    else:
        yield Step(at, "Next attempt", kind="next")
    yield Step(email.expires_at, "Expires", "if it is not sent until then", "next")
