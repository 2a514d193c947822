"""Header fields, error samples, responses and links that several routes of emails have."""

from typing import Any, Literal

from typing_extensions import TypedDict

from app.api.http.params import INVALID_UUID
from app.api.openapi.errors import NO_EMAIL, invalid
from app.api.openapi.operation import Answer, HeaderField, links
from app.api.openapi.types import ID, Id
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
from app.mail.rate_limit import Amount, Unit, Window
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
    invalid("subject", "The subject is missing; give one that is not empty.", ErrorName.MISSING_REQUIRED_FIELD),
    invalid("to", "It has 51 addresses and may have 50; send several emails."),
    invalid(
        "template",
        "This relay has no templates and no topics; leave it out and send the finished html or text.",
        reason="unsupported_field",
    ),
    invalid(
        "attachments[0].content",
        "It must be base64, a list of octets or a Buffer, not a number.",
        ErrorName.INVALID_ATTACHMENT,
    ),
    invalid(
        "attachments[0].path",
        "This relay fetches no remote files; send the file itself as `content`, in base64.",
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


class EmailIdResponse(TypedDict):
    """The email that was changed."""

    object: Literal["email"]
    id: Id


EMAIL_ID = {"object": "email", "id": ID}


def email_id_answer(description: str) -> Answer:
    """Return the description of a response to a change of an email."""
    return Answer(description, EmailIdResponse, {"changed": EMAIL_ID})


def email_links(id: str) -> dict[str, Any]:
    """Return the links from a response whose email id is at `id`, a runtime expression of OpenAPI."""
    return links(
        {"id": id},
        *("getEmail", "rescheduleEmail", "cancelEmail", "retryEmail", "confirmEmail", "listAttachments", "eraseEmail"),
    )
