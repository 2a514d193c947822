"""Header fields, error samples, examples and links that several routes of emails have."""

from typing import Any

from app.api.http.params import INVALID_UUID
from app.api.openapi.errors import NO_EMAIL, invalid
from app.api.openapi.operation import HeaderField, links
from app.api.openapi.types import AT, ID, LATER
from app.api.problems.key_policy import (
    LaneNotAllowed,
    RateLimitExceeded,
    RecipientNotAllowed,
    SenderNotAllowed,
    TooManyAttempts,
)
from app.api.problems.problem import (
    DiskAlmostFull,
    ErrorName,
    IdempotencyInFlight,
    IdempotencyMismatch,
    InvalidIdempotencyKey,
    MessageTooLarge,
)
from app.api.submission import attachments, fields
from app.mail import explain
from app.mail.key_policy import Amount, Unit, Window
from app.mail.times import DAY, MINUTE

IDEMPOTENCY_KEY = HeaderField(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,254}[!-~])?$"},
    "For 24 hours, requests with the same key and body return the same response and create one email. "
    "A refused request does not use the key.",
)
IDEMPOTENCY_ERRORS = (InvalidIdempotencyKey(), IdempotencyMismatch(), IdempotencyInFlight())

INVALID_ID = invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER)
ID_ERRORS = (INVALID_ID, NO_EMAIL)

EMAIL_ERRORS = (
    invalid("subject", fields.MISSING_SUBJECT, ErrorName.MISSING_REQUIRED_FIELD),
    invalid("to", "It has 51 addresses and may have 50; send several emails."),
    invalid("htm", "`htm` is unknown; did you mean `html`?"),
    invalid(
        "template",
        fields.NO_TEMPLATES,
        reason="unsupported_field",
    ),
    invalid(
        "attachments[0].content",
        "It must be base64, a list of bytes or a Buffer, not a number.",
        ErrorName.INVALID_ATTACHMENT,
    ),
    invalid(
        "attachments[0].path",
        attachments.NO_REMOTE_FILES,
        ErrorName.INVALID_ATTACHMENT,
        "remote_attachments_disabled",
    ),
    MessageTooLarge(41_204_812, 36_700_160, attachments=True),
    MessageTooLarge(41_204_812, 36_700_160, attachments=False),
    SenderNotAllowed(
        "sales@fabrikam.com", "Use the address of a mailbox, or add this sender to a pool in the settings."
    ),
    LaneNotAllowed("urgent", ("normal", "bulk")),
    RecipientNotAllowed([("to[0]", "anna@example.com")], ("*@contoso.com",)),
)
TOO_MANY_ATTEMPTS = TooManyAttempts(600, 40)
LIMIT_ERRORS = (
    RateLimitExceeded(Window(MINUTE, 1_763_975_880, 60, 60), Amount(1, 1, 912), 1_763_975_920.0),
    RateLimitExceeded(Window(DAY, 1_763_942_400, 5_000, 4_980), Amount(50, 50, 45_600), 1_763_975_920.0),
    RateLimitExceeded(
        Window(DAY, 1_763_942_400, 8_000, 7_900, Unit.RECIPIENTS), Amount(1, 150, 5_210), 1_763_975_920.0
    ),
    TOO_MANY_ATTEMPTS,
    DiskAlmostFull(),
)


CHANGED = {"changed": {"object": "email", "id": ID}}


def email_links(id: str) -> dict[str, Any]:
    """Return the links from a response whose email id is at `id`, a runtime expression of OpenAPI."""
    return links(
        {"id": id},
        *("getEmail", "rescheduleEmail", "cancelEmail", "retryEmail", "confirmEmail", "listAttachments", "eraseEmail"),
    )


RECEIPT: dict[str, Any] = {
    "from": "Contoso <noreply@contoso.com>",
    "to": "ada@example.net",
    "subject": "Your receipt",
    "html": "<p>Thank you.</p>",
}
CODE: dict[str, Any] = {
    "from": "noreply@contoso.com",
    "to": ["ada@example.net"],
    "subject": "Your code is 491 302",
    "text": "It is valid for five minutes.",
    "lane": "urgent",
    "expires_in": 300,
    "coalesce": "code-for-ada",
}
EVERYTHING: dict[str, Any] = {
    "from": "Contoso <noreply@contoso.com>",
    "to": ["Ada Lovelace <ada@example.net>", "charles@example.net"],
    "cc": ["office@example.net"],
    "bcc": None,
    "reply_to": "support@contoso.com",
    "subject": "Invoice 2026-1187",
    "html": '<p>Here is your invoice.</p><img src="cid:logo">',
    "text": "Here is your invoice.",
    "headers": {"X-Invoice": 1187},
    "attachments": [
        {"filename": "invoice.pdf", "content": "JVBERi0xLjQK", "content_type": "application/pdf"},
        {"filename": "logo.png", "content": [137, 80, 78, 71], "content_id": "logo"},
    ],
    "tags": [{"name": "category", "value": "invoice"}],
    "scheduled_at": "in 10 minutes",
    "lane": "bulk",
    "on_unknown": "hold",
}

HEAD: dict[str, Any] = {
    "id": ID,
    "message_id": f"<{ID}@contoso.com>",
    "from": "Contoso <noreply@contoso.com>",
    "to": ["ada@example.net"],
    "cc": [],
    "bcc": [],
    "reply_to": [],
    "subject": "Your receipt",
    "created_at": AT,
    "last_event": "sent",
    "scheduled_at": None,
}
SENT: dict[str, Any] = {
    "object": "email",
    **HEAD,
    "html": "<p>Thank you.</p>",
    "text": "Thank you.",
    "tags": [{"name": "category", "value": "receipt"}],
    "relay": {
        "state": "done",
        "lane": "normal",
        "pool": "default",
        "mailbox": "noreply@contoso.com",
        "position": None,
        "estimated_send_at": None,
        "next_attempt_at": None,
        "expires_at": "2026-11-29T09:00:00.000Z",
        "possible_duplicate": False,
        "content_removed_at": None,
        "recipients": [{"address": "ada@example.net", "state": "relayed", "reply": "250 2.0.0 OK"}],
        "attempts": [
            {
                "number": 1,
                "mailbox": "noreply@contoso.com",
                "started_at": "2026-11-24T09:00:00.031Z",
                "ended_at": LATER,
                "phase": "dot",
                "replies": ["250 2.0.0 OK"],
                "failure": None,
                "verdict": {"ada@example.net": "relayed (relayed)"},
                "in_doubt": False,
                "dialogue": ["C: MAIL FROM:<noreply@contoso.com>", "S: 250 2.1.0 Sender OK"],
            }
        ],
        "explanation": {"summary": explain.SENT.summary, "fix": explain.SENT.fix},
    },
}
