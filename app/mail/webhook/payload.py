"""JSON payload of webhook events, in the form of Resend's with an additional `relay` member. Pure.

A payload is built once, when the event happens; every delivery sends the same bytes. It has no email body and less than
20 kB: long texts and lists are cut, each at its own limit.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from app.mail.delivery.bounce import Cause, classify
from app.mail.delivery.states import DeliveryState
from app.mail.lifecycle import EXPIRED, MessageState, RecipientState, is_relayed
from app.mail.mailbox_health import MailboxCondition
from app.mail.office365.bounces.lookup import explain_bounce
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import Listing, Origin
from app.mail.times import iso
from app.mail.webhook.rules import EventType

# Limits of each part's JSON in bytes.
_SUBJECT, _ADDRESS = 1000, 400
_TO, _TAGS, _HEADERS, _RECIPIENTS = 4000, 2500, 2500, 4000
_REPLY, _WORDS = 400, 1500
_WORDS_ALONE = 6000  # of a mailbox or credential event

T = TypeVar("T")

_DELIVERY_EVENTS: Mapping[DeliveryState, EventType] = {
    DeliveryState.DELIVERED: EventType.DELIVERED,
    DeliveryState.JUNK: EventType.DELIVERED,
    DeliveryState.BOUNCED: EventType.BOUNCED,
    DeliveryState.DELAYED: EventType.DELIVERY_DELAYED,
}


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Event for webhooks. Events of one `subject` (email id or mailbox name) are delivered in order.

    Of several events with the same `deduplication_key`, from any process, only the first is delivered.
    """

    type: EventType
    subject: str
    at: float  # epoch seconds
    payload: str
    deduplication_key: str | None = None


@dataclass(frozen=True, slots=True)
class EmailSnapshot:
    """Email after the event. The <names> of `explanation` are filled in."""

    id: UUID
    message_id: str
    state: MessageState
    created_at: float
    scheduled_at: float | None
    sender: str
    to: Sequence[str]
    subject: str
    tags: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    mailbox: str | None
    attempts: int
    possible_duplicate: bool
    recipients: Sequence[tuple[str, RecipientState, str | None]]  # address, state, last reply
    explanation: Explanation

    @property
    def relayed(self) -> bool:
        """True if every recipient was relayed that is not suppressed."""
        return is_relayed([state for _, state, _ in self.recipients])


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Delivery to one recipient as Exchange reports it.

    `trace_id` is Exchange's id of the message; None: only a non-delivery report is known.
    """

    recipient: str
    state: DeliveryState
    at: float  # epoch seconds
    cause: Cause
    trace_id: UUID | None


def delivery_event(report: DeliveryReport, facts: EmailSnapshot) -> WebhookEvent | None:
    """Return the event about the delivery to one recipient, who is its only `to`; None: this state has no event."""
    kind = _DELIVERY_EVENTS.get(report.state)
    if kind is None:
        return None
    recipient = _short(report.recipient, _ADDRESS)
    data = _email_data(facts, [report.recipient])
    if kind is EventType.BOUNCED:
        bounce_type, subtype = classify(report.cause)
        message = explain_bounce(report.cause.code, report.cause.text).rule.explanation.summary
        codes = [_short(report.cause.text, _REPLY)] if report.cause.text else []
        data["bounce"] = {"type": bounce_type, "subType": subtype, "message": message, "diagnosticCode": codes}
    delivery = {
        "recipient": recipient,
        "state": report.state,
        "at": iso(report.at),
        "cause": _short(report.cause.text, _REPLY) or None,
        "trace_id": None if report.trace_id is None else str(report.trace_id),
    }
    relay = {**_relay(facts), "delivery": delivery}
    return WebhookEvent(kind, facts.id.hex, report.at, _payload(kind, report.at, {**data, "relay": relay}))


def email_event(kind: EventType, at: float, facts: EmailSnapshot) -> WebhookEvent:
    """Return an event about an email."""
    data = _email_data(facts, facts.to)
    if kind is EventType.SCHEDULED and facts.scheduled_at is not None:
        data["scheduled_at"] = iso(facts.scheduled_at)
    if kind is EventType.FAILED:
        data["failed"] = {"reason": _reason(facts)}
    return WebhookEvent(kind, facts.id.hex, at, _payload(kind, at, {**data, "relay": _relay(facts)}))


def suppressed_event(at: float, facts: EmailSnapshot, recipient: str, listing: Listing) -> WebhookEvent:
    """Return the event that an email is not sent to one recipient.

    Resend has no reason for an address that was added by hand: a complaint is the closest, because it says nothing
    against the address itself. `origin` has the exact cause.
    """
    kind = EventType.SUPPRESSED
    about: dict[str, Any] = {
        "reason": "previous_bounce" if listing.origin is Origin.BOUNCE else "previous_complaint",
        "type": "OnAccountSuppressionList",
        "message": listing.reply,
        "diagnosticCode": [],
        "origin": listing.origin,
    }
    data = {**_email_data(facts, [recipient]), "suppressed": about, "relay": _relay(facts)}
    return WebhookEvent(kind, facts.id.hex, at, _payload(kind, at, data))


def mailbox_event(kind: EventType, at: float, name: str, pool: str, condition: MailboxCondition) -> WebhookEvent:
    """Return the event that a mailbox is held or released."""
    data = {
        "mailbox": name,
        "pool": pool,
        "health": condition.health,
        "since": iso(condition.since),
        "until": None if condition.until is None else iso(condition.until),
        "explanation": _explanation(condition.explanation, _WORDS_ALONE),
    }
    return WebhookEvent(kind, name, at, _payload(kind, at, data))


def credential_event(
    at: float, mailbox: str, what: str, ends_at: float, why: Explanation, *, step: str
) -> WebhookEvent:
    """Return the event that a credential expires soon, delivered once for each `step`."""
    kind = EventType.CREDENTIAL_EXPIRING
    words = _explanation(why, _WORDS_ALONE)
    data = {"mailbox": mailbox, "credential": what, "expires_at": iso(ends_at), "explanation": words}
    once = f"{kind} {mailbox} {what} {ends_at:.0f} {step}"
    return WebhookEvent(kind, mailbox, at, _payload(kind, at, data), once)


def _email_data(facts: EmailSnapshot, to: Sequence[str]) -> dict[str, Any]:
    """Return the members of every event about an email."""
    return {
        "email_id": str(facts.id),
        "message_id": f"<{facts.message_id}>",
        "created_at": iso(facts.created_at),
        "from": _short(facts.sender, _ADDRESS),
        "to": _some((_short(address, _ADDRESS) for address in to), _TO),
        "subject": _short(facts.subject, _SUBJECT),
        "tags": dict(_some(facts.tags, _TAGS)),
        "headers": _some(({"name": name, "value": value} for name, value in facts.headers), _HEADERS),
    }


def _payload(kind: EventType, at: float, data: Mapping[str, Any]) -> str:
    """Return the event as JSON; `created_at` is Resend's member, `timestamp` that of Standard Webhooks."""
    moment = iso(at)
    return _json({"type": kind, "created_at": moment, "timestamp": moment, "data": data})


def _relay(facts: EmailSnapshot) -> dict[str, Any]:
    recipients = (
        {"address": address, "state": state, "reply": None if reply is None else _short(reply, _REPLY)}
        for address, state, reply in facts.recipients
    )
    return {
        "state": facts.state,
        "mailbox": facts.mailbox,
        "attempts": facts.attempts,
        "possible_duplicate": facts.possible_duplicate,
        "recipients": _some(recipients, _RECIPIENTS),
        "explanation": _explanation(facts.explanation, _WORDS),
    }


def _reason(facts: EmailSnapshot) -> str:
    """Return "expired" or "suppressed", or the last reply to the first failed recipient."""
    if facts.explanation == EXPIRED:
        return "expired"
    if all(state is RecipientState.SUPPRESSED for _, state, _ in facts.recipients):
        return "suppressed"
    replies = (reply for _, state, reply in facts.recipients if state is RecipientState.FAILED and reply)
    return _short(next(replies, facts.explanation.summary), _REPLY)


def _explanation(why: Explanation | None, limit: int) -> dict[str, str] | None:
    return None if why is None else {"summary": _short(why.summary, limit), "fix": _short(why.fix, limit)}


def _short(text: str, limit: int) -> str:
    """Return `text` cut so that its JSON has at most about `limit` bytes."""
    if 6 * len(text) <= limit or _size(text) <= limit:
        return text
    kept = text[:limit]
    while _size(kept) > limit:
        kept = kept[: len(kept) * 3 // 4]
    return kept + "…"


def _some(items: Iterable[T], limit: int) -> list[T]:
    """Return the first items that fit into `limit` bytes of JSON."""
    kept: list[T] = []
    for item in items:
        limit -= _size(item) + 1
        if limit < 0:
            break
        kept.append(item)
    return kept


def _size(value: Any) -> int:
    return len(_json(value).encode())


def _json(value: Any) -> str:
    """Return compact JSON; lone surrogates are replaced, so that it can always be stored and sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
