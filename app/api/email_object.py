"""An email as GET shows it: every key of api.md §3, and under `relay` what only a relay knows. Reads no store."""

import email
import email.policy
import json
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from app.api.explanation import Prospect
from app.api.last_event import last_event
from app.api.wire import timestamp
from app.mail.lifecycle import MessageState
from app.store.records import AttemptRecord, Email

_WAITING = frozenset({MessageState.QUEUED, MessageState.DEFERRED})


@dataclass(frozen=True, slots=True)
class Texts:
    """The readable parts of a message; None when there is none, or the content was pruned."""

    html: str | None = None
    text: str | None = None


def texts(content: bytes) -> Texts:
    """From the bytes that are relayed. Costs milliseconds: not for the event loop."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return Texts(_body(message, "html"), _body(message, "plain"))


def render(mail: Email, content: Texts, prospect: Prospect, now: float) -> bytes:
    """The JSON object. `now` in epoch seconds."""
    return json.dumps(
        {
            "object": "email",
            **_head(mail),
            "html": content.html,
            "text": content.text,
            **_standing(mail, now),
            "tags": [{"name": name, "value": value} for name, value in mail.head.tags],
            "relay": _relay(mail, prospect),
        }
    ).encode()


def listed(mail: Email, now: float) -> dict[str, Any]:
    """The same as an element of a list: without what is long."""
    return {**_head(mail), **_standing(mail, now)}


def _head(mail: Email) -> dict[str, Any]:
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


def _standing(mail: Email, now: float) -> dict[str, Any]:
    return {
        "created_at": timestamp(mail.created_at),
        "last_event": last_event(mail, now),
        "scheduled_at": timestamp(mail.scheduled_at),
    }


def _body(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body((subtype,))
    if part is None:
        return None
    # Composing gave it CRLF and a last line end; most callers wrote neither.
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


def _relay(mail: Email, prospect: Prospect) -> dict[str, Any]:
    return {
        "state": mail.state,
        "lane": mail.lane,
        "pool": mail.pool,
        "mailbox": mail.mailbox,
        "position": prospect.position,
        "estimated_send_at": timestamp(prospect.estimated_send_at),
        "next_attempt_at": timestamp(mail.due_at) if mail.state in _WAITING else None,
        "expires_at": timestamp(mail.expires_at),
        "possible_duplicate": mail.possible_duplicate,
        "recipients": [
            {"address": recipient.address, "state": recipient.state, "reply": recipient.reply}
            for recipient in mail.recipients
        ],
        "attempts": [_attempt(attempt) for attempt in mail.attempts],
        "explanation": {"summary": prospect.why.summary, "fix": prospect.why.fix},
    }


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "mailbox": attempt.mailbox,
        "started_at": timestamp(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "phase": attempt.phase,
        "replies": attempt.replies,
        "failure": attempt.failure and {"kind": attempt.failure, "detail": attempt.detail},
        "verdict": dict(attempt.verdicts),
        "in_doubt": attempt.in_doubt,
        "dialogue": [f"{line.who}: {line.text}" for line in attempt.dialogue],
    }
