"""POST /emails/validate: POST /emails without storing the email."""

import json
from typing import Annotated, Literal

from starlette.requests import Request
from starlette.responses import Response

from app.api.context import ApiContext
from app.api.http.headers import json_ok, timestamp
from app.api.openapi.email_samples import CODE, EMAIL_ERRORS, EVERYTHING, RECEIPT, TOO_MANY_ATTEMPTS
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.openapi.types import LATER, Timestamp, describe
from app.api.submission.pipeline import SubmissionEndpoint, SubmissionPipeline
from app.api.submission.schema import EmailInput
from app.api.submission.warnings import Warned
from app.store.read.status import estimate
from app.store.records import Acceptance


class Valid(Warned):
    """Result for a valid email."""

    object: Literal["validation"]
    valid: Literal[True]
    size: Annotated[int, describe("Bytes of the composed message, as Office 365 counts them.")]
    pool: Annotated[str, describe("The mailboxes that would relay it, by the name of their pool.")]
    scheduled_at: Timestamp | None
    estimated_send_at: Timestamp | None


_VALID = {
    "object": "validation",
    "valid": True,
    "size": 1187,
    "pool": "default",
    "scheduled_at": None,
    "estimated_send_at": LATER,
}


_DRY_RUN = SubmissionEndpoint("/emails/validate", dry_run=True)


class ValidateRoute:
    """Route of the validation."""

    def __init__(self, context: ApiContext, pipeline: SubmissionPipeline) -> None:
        self._context = context
        self._pipeline = pipeline

    @operation(
        "validateEmail",
        "Validate an email without sending it",
        tag=Tag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        body=EmailInput,
        examples={"a receipt": RECEIPT, "a one-time code": CODE, "everything": EVERYTHING},
        answer=Answer("It would be stored. Nothing was stored.", Valid, {"valid": _VALID}),
        errors=(*EMAIL_ERRORS, TOO_MANY_ATTEMPTS),
        description="Does everything that sending does except storing the email, with the same errors. An "
        "Idempotency-Key is not used. The rate limits of the key do not count it; a limit of its own does.",
    )
    async def validate(self, request: Request) -> Response:
        """POST /emails/validate: 200, or the error of POST /emails. Nothing is stored, no Idempotency-Key used."""
        submitted = await self._pipeline.submit(request, _DRY_RUN)
        prepared = submitted.accepted[0]
        would_be = prepared.acceptance
        answer: Valid = {
            "object": "validation",
            "valid": True,
            "size": len(would_be.message.content),
            "pool": would_be.pool,
            "scheduled_at": timestamp(would_be.scheduled_at),
            "estimated_send_at": timestamp(await self._estimate(would_be)),
            **prepared.warned,
        }
        return json_ok(json.dumps(answer).encode())

    async def _estimate(self, would_be: Acceptance) -> float | None:
        now = would_be.created_at
        if would_be.sunk:
            return None
        if would_be.due_at > now:
            return would_be.due_at
        position = await self._context.store.position_of_next(would_be.pool, would_be.lane, would_be.key_id, now)
        return estimate(now, position, self._context.capacities, now)
