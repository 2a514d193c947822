"""Emails as JSON, in full, in a list, or as an id: the members of Resend's API, and the relay state under `relay`."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.api.http.headers import timestamp
from app.api.openapi.types import ExplanationObject, Id, Timestamp, describe
from app.api.submission.fields import Warned
from app.mail.delivery.states import DeliveryState
from app.mail.explain import explain_cause
from app.mail.lifecycle import WAITING_STATES, LastEvent, MessageState, RecipientState
from app.mail.message import stored_parts
from app.mail.message.message import Lane
from app.mail.outcome.attempt import FailureKind, Phase
from app.mail.suppression import stay_suppressed
from app.mail.times import iso
from app.store.read.last_event import last_event
from app.store.read.status import DeliveryStatus
from app.store.records import AttemptRecord, Email, RecipientRecord

_SummaryFields = TypedDict(
    "_SummaryFields",
    {
        "id": Id,
        "message_id": Annotated[
            str, describe("The Message-ID of every attempt, with its <>: Message trace knows it by that.")
        ],
        "from": str,
        "to": Sequence[str],
        "cc": Sequence[str],
        "bcc": Sequence[str],
        "reply_to": Sequence[str],
        "subject": str,
    },
)


class _DeliveryFields(TypedDict):
    created_at: Timestamp
    last_event: Annotated[
        LastEvent,
        describe(
            "`sent`: Office 365 has accepted it for every recipient. `delivered` and `bounced` only with POSTERN_TRACE."
        ),
    ]
    scheduled_at: Timestamp | None


class ListedEmail(_SummaryFields, _DeliveryFields):
    """An email in a list: without contents and relay state."""


class TagObject(TypedDict):
    """A name and a value, for finding emails."""

    name: str
    value: str


class DeliveryObject(TypedDict):
    """Delivery to one recipient after Office 365 accepted it, by Exchange's message trace or a non-delivery report."""

    state: Annotated[
        DeliveryState,
        describe("`delivered`: outside the tenant, the next server took it. `expanded`: the address was a group."),
    ]
    at: Annotated[Timestamp, describe("Time at which Postern read this state.")]
    cause: Annotated[str | None, describe("The words of the server that refused or delayed it.")]
    explanation: Annotated[str | None, describe("The meaning of the cause in plain words.")]
    trace_id: Annotated[
        Id | None, describe("The Message trace ID of the message; null if only a non-delivery report is known.")
    ]
    duplicate_trace_id: Annotated[Id | None, describe("That of a second copy which Exchange accepted.")]


class RecipientObject(TypedDict):
    """One recipient, with the last reply about it."""

    address: str
    state: RecipientState
    reply: str | None
    delivery: NotRequired[Annotated[DeliveryObject, describe("Absent until Exchange reports it.")]]


class FailureObject(TypedDict):
    """Reason for a missing reply."""

    kind: FailureKind
    detail: str | None


class AttemptObject(TypedDict):
    """One attempt to send it to Office 365."""

    number: Annotated[int, describe("From 1 on.")]
    mailbox: str
    started_at: Timestamp
    ended_at: Annotated[Timestamp | None, describe("null while it is under way.")]
    phase: Annotated[Phase, describe("The last phase that it reached.")]
    replies: Sequence[str]
    failure: Annotated[FailureObject | None, describe("null when every command had a reply.")]
    verdict: Annotated[
        Mapping[str, str], describe("By address: the rule that applied, and the resulting state of the recipient.")
    ]
    in_doubt: Annotated[bool, describe("The connection was lost when the message may have been accepted already.")]
    dialogue: Annotated[
        list[str], describe("SMTP transcript: C is Postern, S is Office 365. Without credentials and content.")
    ]


class RelayObject(TypedDict):
    """State of the email in the relay."""

    state: MessageState
    lane: Lane
    pool: Annotated[str, describe("The mailboxes that may relay it, by the name of their pool.")]
    mailbox: Annotated[str | None, describe("The mailbox that relayed it, or relays it now.")]
    position: Annotated[
        int | None, describe("Its place in the queue; 1 goes next. null when it is not waiting its turn.")
    ]
    estimated_send_at: Timestamp | None
    next_attempt_at: Timestamp | None
    expires_at: Annotated[Timestamp, describe("Time after which it is not sent any more.")]
    possible_duplicate: Annotated[bool, describe("It was sent again after it was perhaps accepted.")]
    content_removed_at: Annotated[
        Timestamp | None,
        describe("When html, text and files were removed, days after its end. null while they are stored."),
    ]
    recipients: list[RecipientObject]
    attempts: list[AttemptObject]
    explanation: ExplanationObject


class EmailObject(ListedEmail):
    """An email with its state."""

    object: Literal["email"]
    html: Annotated[str | None, describe("null without one, and after the content was removed.")]
    text: Annotated[str | None, describe("null without one, and after the content was removed.")]
    tags: list[TagObject]
    relay: RelayObject


class EmailIdResponse(TypedDict):
    """The email that was changed."""

    object: Literal["email"]
    id: Id


class RetriedEmail(EmailIdResponse, Warned):
    """The email that is sent again, with a warning about recipients that get nothing."""


def retried(id: UUID, suppressed: Sequence[str]) -> RetriedEmail:
    """Return the answer of a retry. `suppressed`: recipients that are on the suppression list."""
    answer: RetriedEmail = {"object": "email", "id": str(id)}
    if suppressed:
        answer["warnings"] = [{"field": "relay.recipients", "message": stay_suppressed(suppressed)}]
    return answer


def changed(id: UUID) -> EmailIdResponse:
    """Return the answer of a route that changes an email."""
    return {"object": "email", "id": str(id)}


def render(mail: Email, content: bytes | None, status: DeliveryStatus, now: float) -> bytes:
    """Return the email as JSON, with the texts of the stored content. `now` in epoch seconds."""
    shown: EmailObject = {
        "object": "email",
        **_summary_fields(mail),
        "html": stored_parts.displayed_text(content, "html") if content else None,
        "text": stored_parts.displayed_text(content, "plain") if content else None,
        **_delivery_fields(mail, now),
        "tags": [{"name": name, "value": value} for name, value in mail.head.tags],
        "relay": _relay(mail, status),
    }
    return json.dumps(shown).encode()


def listed(mail: Email, now: float) -> ListedEmail:
    """Return the email as an element of a list."""
    return {**_summary_fields(mail), **_delivery_fields(mail, now)}


def _summary_fields(mail: Email) -> _SummaryFields:
    head = mail.head
    return {
        "id": str(mail.id),
        "message_id": f"<{mail.message_id}>",
        "from": head.sender,
        "to": head.to,
        "cc": head.cc,
        "bcc": head.bcc,
        "reply_to": head.reply_to,
        "subject": head.subject,
    }


def _delivery_fields(mail: Email, now: float) -> _DeliveryFields:
    return {
        "created_at": iso(mail.created_at),
        "last_event": last_event(mail, now),
        "scheduled_at": timestamp(mail.scheduled_at),
    }


def _relay(mail: Email, status: DeliveryStatus) -> RelayObject:
    return {
        "state": mail.state,
        "lane": mail.lane,
        "pool": mail.pool,
        "mailbox": mail.mailbox,
        "position": status.position,
        "estimated_send_at": timestamp(status.estimated_send_at),
        "next_attempt_at": timestamp(mail.due_at) if mail.state in WAITING_STATES else None,
        "expires_at": iso(mail.expires_at),
        "possible_duplicate": mail.possible_duplicate,
        "content_removed_at": timestamp(mail.content_removed_at),
        "recipients": [_recipient(recipient) for recipient in mail.recipients],
        "attempts": [_attempt(attempt) for attempt in mail.attempts],
        "explanation": {"summary": status.why.summary, "fix": status.why.fix},
    }


def _recipient(recipient: RecipientRecord) -> RecipientObject:
    shown: RecipientObject = {"address": recipient.address, "state": recipient.state, "reply": recipient.reply}
    if (delivery := recipient.delivery) is not None:
        shown["delivery"] = {
            "state": delivery.state,
            "at": iso(delivery.at),
            "cause": delivery.cause.text or None,
            "explanation": explain_cause(delivery.state, delivery.cause),
            "trace_id": None if delivery.network_id is None else str(delivery.network_id),
            "duplicate_trace_id": None if delivery.duplicate_id is None else str(delivery.duplicate_id),
        }
    return shown


def _attempt(attempt: AttemptRecord) -> AttemptObject:
    return {
        "number": attempt.number,
        "mailbox": attempt.mailbox,
        "started_at": iso(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "phase": attempt.phase,
        "replies": attempt.replies,
        "failure": None if attempt.failure is None else {"kind": attempt.failure, "detail": attempt.detail},
        "verdict": dict(attempt.verdicts),
        "in_doubt": attempt.in_doubt,
        "dialogue": [str(line) for line in attempt.dialogue],
    }
