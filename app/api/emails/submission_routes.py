"""POST /emails, POST /emails/batch (up to 100 emails in one commit) and POST /emails/validate (nothing is stored).

A strict batch, the default, is stored as a whole or not at all. A permissive one: the valid emails are stored, and the
others reported by their index.
"""

import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from starlette.requests import Request
from typing_extensions import TypedDict

from app.api.context import ApiContext
from app.api.http.headers import FIELDS, timestamp
from app.api.openapi.email_samples import (
    CODE,
    EMAIL_ERRORS,
    EVERYTHING,
    IDEMPOTENCY_ERRORS,
    IDEMPOTENCY_KEY,
    LIMIT_ERRORS,
    RECEIPT,
    TOO_MANY_ATTEMPTS,
    email_links,
)
from app.api.openapi.errors import invalid
from app.api.openapi.operation import HeaderField, OperationTag, RequiredPermission, operation
from app.api.openapi.types import ID, LATER, OTHER_ID, Id, Timestamp, describe
from app.api.problems.problem import BatchRefused, FieldError, Invalid, item_message
from app.api.problems.validation import json_type
from app.api.submission.fields import MISSING_RECIPIENT, Warned
from app.api.submission.pipeline import SubmissionEndpoint, SubmissionPipeline, Submitted
from app.api.submission.schema import EmailInput
from app.mail.suppression import Origin
from app.store.queue.accept import Acceptance
from app.store.read.status import estimate

MAX_BATCH = 100  # emails in one request

_PERMISSIVE = {b"strict": False, b"permissive": True}


class AcceptedEmail(Warned):
    """An accepted email: it is stored and will be relayed."""

    id: Id


class AcceptedItem(Warned):
    """Email of the batch that is stored."""

    id: Id


class RejectedItem(TypedDict):
    """Item of the batch that was not stored."""

    index: Annotated[int, describe("Index in the request, from 0.", ge=0)]
    message: str


class AcceptedBatch(TypedDict):
    """Stored emails, in the order of the request."""

    data: list[AcceptedItem]
    errors: NotRequired[Annotated[list[RejectedItem], describe("Only in a permissive batch, and then always.")]]


class SuppressedRecipient(TypedDict):
    """A recipient to which the email would not be sent."""

    email: str
    origin: Origin


class Valid(Warned):
    """Result for a valid email."""

    object: Literal["validation"]
    valid: Literal[True]
    size: Annotated[int, describe("Bytes of the composed message, as Office 365 counts them.")]
    pool: Annotated[str, describe("The mailboxes that would relay it, by the name of their pool.")]
    scheduled_at: Timestamp | None
    estimated_send_at: Timestamp | None
    suppressed: Annotated[
        list[SuppressedRecipient], describe("Recipients on the suppression list; if all are, the email would fail.")
    ]


_REQUESTS = {"a receipt": RECEIPT, "a one-time code": CODE, "everything": EVERYTHING}
_VALIDATION = HeaderField(
    "x-batch-validation",
    {"enum": ["strict", "permissive"], "type": "string"},
    "`strict` (the default): all of them or none. `permissive`: the valid ones are stored.",
)
_BATCHES = {
    "strict": {"data": [{"id": ID}, {"id": OTHER_ID}]},
    "permissive": {"data": [{"id": ID}], "errors": [{"index": 1, "message": f"[1].to: {MISSING_RECIPIENT}"}]},
}
_BATCH_ERRORS = (
    BatchRefused([(1, invalid("to", MISSING_RECIPIENT))]),
    invalid("", "The list has 101 emails; a batch has 1 to 100."),
)
_VALID = {
    "object": "validation",
    "valid": True,
    "size": 1187,
    "pool": "default",
    "scheduled_at": None,
    "estimated_send_at": LATER,
    "suppressed": [],
}


class SubmissionRoutes:
    """Routes that take emails. They are hot, so they read and render JSON themselves."""

    def __init__(self, context: ApiContext, pipeline: SubmissionPipeline) -> None:
        self._context = context
        self._pipeline = pipeline

    @operation(
        "POST /emails",
        "It is stored on disk and will be relayed.",
        {"kept": {"id": ID}},
        tag=OperationTag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        type=AcceptedEmail,
        headers=(IDEMPOTENCY_KEY,),
        body=EmailInput,
        requests=_REQUESTS,
        errors=(*EMAIL_ERRORS, *LIMIT_ERRORS, *IDEMPOTENCY_ERRORS),
        links=email_links("$response.body#/id"),
    )
    async def send_email(self, request: Request) -> bytes:
        """Send an email."""
        submitted = await self._pipeline.submit(request, _SEND)
        id_, warned = str(submitted.ids[0]), submitted.accepted[0].warned
        if not warned:  # the usual case: json.dumps would cost more than the rest of the response
            return b'{"id":"%s"}' % id_.encode()
        return json.dumps({"id": id_, **warned}).encode()

    @operation(
        "POST /emails/batch",
        "The stored emails are on disk, after one commit.",
        _BATCHES,
        tag=OperationTag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        type=AcceptedBatch,
        headers=(IDEMPOTENCY_KEY, _VALIDATION),
        body=Annotated[list[EmailInput], Field(min_length=1, max_length=MAX_BATCH)],
        requests={"two emails": [RECEIPT, CODE]},
        errors=(*EMAIL_ERRORS, *_BATCH_ERRORS, *LIMIT_ERRORS, *IDEMPOTENCY_ERRORS),
        links=email_links("$response.body#/data/0/id"),
    )
    async def send_batch(self, request: Request) -> bytes:
        """Send up to 100 emails."""
        submitted = await self._pipeline.submit(request, _SEND_BATCH)
        answer: AcceptedBatch = {"data": _accepted_items(submitted)}
        if submitted.permissive:
            rejected = submitted.rejected
            answer["errors"] = [
                {"index": place, "message": item_message(place, problem)} for place, problem in rejected
            ]
        return json.dumps(answer).encode()

    @operation(
        "POST /emails/validate",
        "It would be stored. Nothing was stored.",
        {"valid": _VALID},
        tag=OperationTag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        type=Valid,
        body=EmailInput,
        requests=_REQUESTS,
        errors=(*EMAIL_ERRORS, TOO_MANY_ATTEMPTS),
    )
    async def validate_email(self, request: Request) -> bytes:
        """Validate an email without sending it.

        Does everything that sending does except storing the email, with the same errors. An Idempotency-Key is not
        used. The rate limits of the key do not count it; a limit of its own does.
        """
        submitted = await self._pipeline.submit(request, _VALIDATE)
        prepared = submitted.accepted[0]
        would_be = prepared.acceptance
        suppressed = await self._context.store.suppressed_recipients(would_be)
        is_sent = len(suppressed) < len(would_be.message.envelope.rcpt_to)
        answer: Valid = {
            "object": "validation",
            "valid": True,
            "size": len(would_be.message.content),
            "pool": would_be.pool,
            "scheduled_at": timestamp(would_be.scheduled_at),
            "estimated_send_at": timestamp(await self._estimate(would_be)) if is_sent else None,
            "suppressed": [{"email": address, "origin": entry.origin} for address, entry in suppressed.items()],
            **prepared.warned,
        }
        return json.dumps(answer).encode()

    async def _estimate(self, would_be: Acceptance) -> float | None:
        now = would_be.created_at
        if would_be.to_sink:
            return None
        if would_be.due_at > now:
            return would_be.due_at
        position = await self._context.store.position_of_next(would_be.pool, would_be.lane, would_be.key_id, now)
        return estimate(now, position, self._context.capacities, now)


def _is_permissive(request: Request) -> bool:
    given = request.scope[FIELDS].get(b"x-batch-validation") or b"strict"
    try:
        return _PERMISSIVE[given.strip().lower()]
    except KeyError:
        raise Invalid([FieldError("x-batch-validation", "It must be `strict` or `permissive`.")]) from None


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid([FieldError("", f"The request body must be a list of emails, not {json_type(value)}.")])
    if not 1 <= len(value) <= MAX_BATCH:
        raise Invalid([FieldError("", f"The list has {len(value)} emails; a batch has 1 to {MAX_BATCH}.")])
    return value


_SEND = SubmissionEndpoint("/emails")
_SEND_BATCH = SubmissionEndpoint("/emails/batch", MAX_BATCH, parse=_items, is_permissive=_is_permissive)
_VALIDATE = SubmissionEndpoint("/emails/validate", dry_run=True)


def _accepted_items(submitted: Submitted) -> list[AcceptedItem]:
    """Return each id with its warnings. A replay has the ids of the first request, and may have validated others."""
    if len(submitted.ids) != len(submitted.accepted):
        return [{"id": str(id_)} for id_ in submitted.ids]
    return [{"id": str(id_), **email.warned} for id_, email in zip(submitted.ids, submitted.accepted, strict=True)]
