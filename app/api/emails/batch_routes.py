"""POST /emails/batch: up to 100 emails in one request and one commit, under one Idempotency-Key.

Strict (the default): all or none. Permissive: the valid ones are stored, and the others reported by their index.
"""

import json
from typing import Annotated, Any, NotRequired

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.http.headers import header, json_ok
from app.api.openapi.email_samples import (
    CODE,
    EMAIL_ERRORS,
    IDEMPOTENCY_ERRORS,
    IDEMPOTENCY_KEY,
    LIMIT_ERRORS,
    RECEIPT,
    email_links,
)
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, HeaderField, RequiredPermission, Tag, operation
from app.api.openapi.types import ID, OTHER_ID, Id, describe
from app.api.problems.problem import BatchRefused, FieldError, Invalid, item_message
from app.api.problems.validation import json_type
from app.api.submission.fields import MISSING_RECIPIENT
from app.api.submission.pipeline import SubmissionEndpoint, SubmissionPipeline, Submitted
from app.api.submission.schema import EmailInput
from app.api.submission.warnings import Warned

MAX_BATCH = 100  # emails in one request

_PERMISSIVE = {b"strict": False, b"permissive": True}


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


_VALIDATION = HeaderField(
    "x-batch-validation",
    {"enum": ["strict", "permissive"], "type": "string"},
    "`strict` (the default): all of them or none. `permissive`: the valid ones are stored.",
)
_OF_BATCH = (
    BatchRefused([(1, invalid("to", MISSING_RECIPIENT))]),
    invalid("", "The list has 101 emails; a batch has 1 to 100."),
)


class BatchRoute:
    """Route that takes a batch of emails."""

    def __init__(self, pipeline: SubmissionPipeline) -> None:
        self._pipeline = pipeline

    @operation(
        "sendBatch",
        "Send up to 100 emails",
        tag=Tag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        headers=(IDEMPOTENCY_KEY, _VALIDATION),
        body=Annotated[list[EmailInput], Field(min_length=1, max_length=MAX_BATCH)],
        examples={"two emails": [RECEIPT, CODE]},
        answer=Answer(
            "The stored emails are on disk, after one commit.",
            AcceptedBatch,
            {
                "strict": {"data": [{"id": ID}, {"id": OTHER_ID}]},
                "permissive": {
                    "data": [{"id": ID}],
                    "errors": [{"index": 1, "message": f"[1].to: {MISSING_RECIPIENT}"}],
                },
            },
        ),
        errors=(*EMAIL_ERRORS, *_OF_BATCH, *LIMIT_ERRORS, *IDEMPOTENCY_ERRORS),
        links=email_links("$response.body#/data/0/id"),
    )
    async def send(self, request: Request) -> Response:
        """POST /emails/batch: 200 with the ids, in order, after the commit."""
        return _answer(await self._pipeline.submit(request, _ENDPOINT))


def _is_permissive(request: Request) -> bool:
    given = header(request.scope, b"x-batch-validation") or b"strict"
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


_ENDPOINT = SubmissionEndpoint("/emails/batch", MAX_BATCH, parse=_items, is_permissive=_is_permissive)


def _answer(submitted: Submitted) -> Response:
    answer: AcceptedBatch = {"data": _accepted_items(submitted)}
    if submitted.permissive:
        rejected = submitted.rejected
        answer["errors"] = [{"index": index, "message": item_message(index, problem)} for index, problem in rejected]
    return json_ok(json.dumps(answer).encode())


def _accepted_items(submitted: Submitted) -> list[AcceptedItem]:
    """Return each id with its warnings. A replay has the ids of the first request, and may have validated others."""
    if len(submitted.ids) != len(submitted.accepted):
        return [{"id": str(id_)} for id_ in submitted.ids]
    return [{"id": str(id_), **email.warned} for id_, email in zip(submitted.ids, submitted.accepted, strict=True)]
