"""PATCH /emails/{id} and POST /emails/{id}/cancel: reschedule or cancel an email, only before its scheduled time.

After that time it may be sent at any moment. An administrator cancels emails that wait longer with
`postern emails cancel`.
"""

import math
from typing import Annotated
from uuid import UUID

from pydantic import AliasChoices, PlainValidator
from starlette.responses import Response

from app import logs
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.headers import email_id_response
from app.api.http.json_input import JsonInput, Required
from app.api.http.params import EmailId
from app.api.openapi.email_samples import ID_ERRORS, TOO_MANY_ATTEMPTS, email_id_answer
from app.api.openapi.email_types import SEND_TIME
from app.api.openapi.errors import invalid
from app.api.openapi.operation import RequiredPermission, Tag, operation
from app.api.openapi.types import AT, describe
from app.api.problems.problem import ErrorName, FieldError, Invalid, NoEmail, NotScheduled
from app.api.problems.validation import string
from app.api.submission import send_time
from app.mail.lifecycle import MessageState
from app.store.records import Change

_MISSING = "The new time is missing; give one."


class Reschedule(JsonInput):
    """New time of a scheduled email. Other members are ignored: some SDKs repeat the id."""

    may_be_empty = False

    scheduled_at: Annotated[str, PlainValidator(string, SEND_TIME), Required(_MISSING)] = describe(
        "Also as `scheduledAt`. A time in the past sends it immediately.",
        default="",
        validation_alias=AliasChoices("scheduled_at", "scheduledAt"),
    )


_OF_TIME = (
    invalid("scheduled_at", _MISSING, ErrorName.MISSING_REQUIRED_FIELD),
    invalid("scheduled_at", "It is more than 30 days ahead; choose an earlier time, or send it later."),
)


class ScheduleRoutes:
    """PATCH /emails/{id} and POST /emails/{id}/cancel."""

    def __init__(self, context: ApiContext, refusals: RefusalAudit) -> None:
        self._context = context
        self._refusals = refusals

    @operation(
        "rescheduleEmail",
        "Give a scheduled email another time",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        examples={"a moment": {"scheduled_at": AT}, "a delay": {"scheduled_at": "in 2 hours"}},
        answer=email_id_answer("It goes at the new time."),
        errors=(*ID_ERRORS, *_OF_TIME, NotScheduled(MessageState.DONE), TOO_MANY_ATTEMPTS),
        description="Only before the time that it is scheduled for.",
    )
    async def reschedule(self, request: ApiRequest, id: EmailId, body: Reschedule) -> Response:
        """PATCH /emails/{id}: set `scheduled_at`. A time in the past sends it immediately."""
        now, key = self._context.clock.now(), request.key
        at = _due(body.scheduled_at, now)
        _check(id, await self._context.store.reschedule(id, at, now, key.scope))
        logs.rescheduled(id, at=at, key=key.name)
        return email_id_response(id)

    @operation(
        "cancelEmail",
        "Cancel a scheduled email",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        answer=email_id_answer("It is never sent."),
        errors=(*ID_ERRORS, NotScheduled(MessageState.DONE)),
        description="Only before the time that it is scheduled for. A body is not read.",
    )
    async def cancel(self, request: ApiRequest, id: EmailId) -> Response:
        """POST /emails/{id}/cancel: cancel a scheduled email. The body is not read: the SDKs differ in it."""
        now, key = self._context.clock.now(), request.key
        _check(id, await self._context.store.cancel(id, now, key.scope, scheduled=True))
        await self._refusals.canceled(id, request.actor)
        logs.canceled(id, key=key.name)
        return email_id_response(id)


def _due(text: str, now: float) -> float:
    """Return epoch seconds, `now` for a time in the past. Raises Invalid."""
    try:
        at = send_time.parse(text, now, grace=math.inf)
    except send_time.SchedulingError as error:
        raise Invalid([FieldError("scheduled_at", str(error))]) from None
    return now if at is None else at


def _check(id_: UUID, change: Change | None) -> None:
    if change is None:
        raise NoEmail(id_)
    if not change.applied:
        raise NotScheduled(change.state)
