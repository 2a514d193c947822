"""PATCH /emails/{id} and POST /emails/{id}/cancel: reschedule or cancel an email, only before its scheduled time.

After that time it may be sent at any moment. An administrator cancels emails that wait longer with
`postern emails cancel`.
"""

import math
from functools import partial
from typing import Annotated
from uuid import UUID

from pydantic import AliasChoices, PlainValidator

from app import logs
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.emails.view import EmailIdResponse, changed
from app.api.http.api_route import ApiRequest
from app.api.http.params import EmailId, JsonInput, Required
from app.api.openapi.email_samples import CHANGED, ID_ERRORS, TOO_MANY_ATTEMPTS
from app.api.openapi.email_types import SEND_TIME
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import AT, describe
from app.api.problems.problem import ErrorName, FieldError, Invalid, NoEmail, NotScheduled, found
from app.api.problems.validation import string
from app.api.submission import fields
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


_TIME_ERRORS = (
    invalid("scheduled_at", _MISSING, ErrorName.MISSING_REQUIRED_FIELD),
    invalid("scheduled_at", "It is more than 30 days ahead; choose an earlier time, or send it later."),
)


_operation = partial(operation, tag=OperationTag.EMAILS, needs=RequiredPermission.READ_ACCESS)


class ScheduleRoutes:
    """PATCH /emails/{id} and POST /emails/{id}/cancel."""

    def __init__(self, context: ApiContext, refusals: RefusalAudit) -> None:
        self._context = context
        self._refusals = refusals

    @_operation(
        "PATCH /emails/{id:but_words}",
        "It goes at the new time.",
        CHANGED,
        requests={"a moment": {"scheduled_at": AT}, "a delay": {"scheduled_at": "in 2 hours"}},
        errors=(*ID_ERRORS, *_TIME_ERRORS, NotScheduled(MessageState.DONE), TOO_MANY_ATTEMPTS),
        counts_as_attempt=True,
    )
    async def reschedule_email(self, request: ApiRequest, id: EmailId, body: Reschedule) -> EmailIdResponse:
        """Give a scheduled email another time.

        Only before the time that it is scheduled for.
        """
        now, key = self._context.clock.now(), request.key
        at = _due(body.scheduled_at, now)
        _check(id, await self._context.store.reschedule(id, at, now, key.scope, by=request.actor))
        logs.rescheduled(id, at=at, key=key.name)
        return changed(id)

    @_operation(
        "POST /emails/{id}/cancel",
        "It is never sent.",
        CHANGED,
        errors=(*ID_ERRORS, NotScheduled(MessageState.DONE)),
    )
    async def cancel_email(self, request: ApiRequest, id: EmailId) -> EmailIdResponse:
        """Cancel a scheduled email.

        Only before the time that it is scheduled for. A body is not read.
        """
        now, key = self._context.clock.now(), request.key
        _check(id, await self._context.store.cancel(id, now, key.scope, scheduled=True))
        await self._refusals.canceled(id, request.actor)
        logs.canceled(id, key=key.name)
        return changed(id)


def _due(text: str, now: float) -> float:
    """Return epoch seconds, `now` for a time in the past. Raises Invalid."""
    try:
        at = fields.parse_time(text, now, grace=math.inf)
    except fields.SchedulingError as error:
        raise Invalid([FieldError("scheduled_at", str(error))]) from None
    return now if at is None else at


def _check(id_: UUID, change: Change | None) -> None:
    email = found(change, NoEmail(id_))
    if not email.applied:
        raise NotScheduled(email.state)
