"""Views of a received message: its parsed content, its decoded bodies, its summary."""

from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from app.simulator.recorder import ReceivedMessage


def parse(message: ReceivedMessage) -> EmailMessage:
    """Return the content as parsed by the standard library."""
    return message_from_bytes(message.content, EmailMessage, policy=default)


def body(parsed: EmailMessage, kind: str) -> str | None:
    """Return the first body of type `text/<kind>` that is no attachment, decoded; None if there is none."""
    part = next(_parts(parsed, kind), None)
    if part is None:
        return None
    content = cast("bytes", part.get_payload(decode=True))
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # an unknown charset
        return content.decode("utf-8", "replace")


def summary(message: ReceivedMessage) -> dict[str, Any]:
    """Return envelope, result and the header fields that a list shows."""
    parsed = parse(message)
    return {
        "id": message.id,
        "mailbox": message.mailbox,
        "from": str(parsed["from"] or ""),
        "to": str(parsed["to"] or ""),
        "subject": str(parsed["subject"] or ""),
        "at": message.at,
        "size": len(message.content),
        "mail_from": message.mail_from,
        "recipients": list(message.recipients),
        "accepted": message.accepted,
        "reply": message.reply,
    }


def details(message: ReceivedMessage) -> dict[str, Any]:
    """Return the summary with all header fields, decoded bodies and the names of attachments."""
    parsed = parse(message)
    return summary(message) | {
        "session": message.session,
        "turns": message.turns,
        "headers": [[name, str(value)] for name, value in parsed.items()],
        "text": body(parsed, "plain"),
        "html": body(parsed, "html"),
        "attachments": [part.get_filename() for part in parsed.iter_attachments()],
    }


def _parts(parsed: EmailMessage, kind: str) -> Iterator[EmailMessage]:
    for part in parsed.walk():
        if part.get_content_type() == f"text/{kind}" and not part.is_attachment():
            yield part
