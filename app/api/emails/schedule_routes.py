"""What a caller may change about an email of its own: when it is sent, and whether. Only before its scheduled time.

After that it may be on its way at any moment, and what a caller was told would be a guess. An administrator takes back
what waits longer with `postern emails cancel`.
"""

import math
from typing import Annotated, Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import logs
from app.api.auth.attempt_limit import AttemptLimiter
from app.api.auth.authenticator import Authenticator, actor
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.http import body, strict_json
from app.api.http.headers import email_id_response, path_id
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.email_types import SEND_TIME
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Body, RequiredPermission, Tag, operation
from app.api.openapi.shared import ID_ERRORS, ID_PARAMETER, TOO_MANY_ATTEMPTS, email_id_answer
from app.api.openapi.types import AT, describe
from app.api.problems.problem import ErrorName, FieldError, Invalid, NoEmail, NotScheduled
from app.api.submission import send_time
from app.api.submission.fields import json_type
from app.mail.lifecycle import MessageState
from app.store.records import Change


class Reschedule(TypedDict):
    """New time of a scheduled email. Other members are ignored."""

    scheduled_at: Annotated[SEND_TIME, describe("Also as `scheduledAt`. A time in the past sends it immediately.")]


_OF_TIME = (
    invalid("scheduled_at", "The new time is missing; give one.", ErrorName.MISSING_REQUIRED_FIELD),
    invalid("scheduled_at", "It is more than 30 days ahead; choose an earlier time, or send it later."),
)


class ScheduleRoutes:
    """PATCH /emails/{id} and POST /emails/{id}/cancel."""

    def __init__(
        self, edge: ApiContext, keyring: Authenticator, refusals: RefusalAudit, attempts: AttemptLimiter
    ) -> None:
        self._edge = edge
        self._keyring = keyring
        self._sums = refusals
        self._attempts = attempts

    @operation(
        "rescheduleEmail",
        "Give a scheduled email another time",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        parameters=(ID_PARAMETER,),
        body=Body(Reschedule, {"a moment": {"scheduled_at": AT}, "a delay": {"scheduled_at": "in 2 hours"}}),
        answer=email_id_answer("It goes at the new time."),
        errors=(*ID_ERRORS, *_OF_TIME, NotScheduled(MessageState.DONE), TOO_MANY_ATTEMPTS),
        description="Only before the time that it is scheduled for.",
    )
    async def reschedule(self, request: Request) -> Response:
        """PATCH /emails/{id}: set `scheduled_at`. A time in the past sends it immediately."""
        key = await self._keyring.read_access(request)
        id_ = path_id(request)
        self._attempts.admit(key)
        given = strict_json.parse(await body.read(request, self._edge.limits, UNCHARGED_SIZE))
        now = self._edge.clock.now()
        at = _scheduled_at(given, now)
        change = await self._edge.store.reschedule(id_, now if at is None else at, now, key.scope)
        _check(id_, change)
        logs.rescheduled(id_, at=now if at is None else at, key=key.name)
        return email_id_response(id_)

    @operation(
        "cancelEmail",
        "Cancel a scheduled email",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        parameters=(ID_PARAMETER,),
        answer=email_id_answer("It is never sent."),
        errors=(*ID_ERRORS, NotScheduled(MessageState.DONE)),
        description="Only before the time that it is scheduled for. A body is not read.",
    )
    async def cancel(self, request: Request) -> Response:
        """POST /emails/{id}/cancel: cancel a scheduled email. The body is not read: the SDKs differ in it."""
        key = await self._keyring.read_access(request)
        id_ = path_id(request)
        _check(id_, await self._edge.store.cancel(id_, self._edge.clock.now(), key.scope, scheduled=True))
        await self._sums.canceled(id_, actor(request, key))
        logs.canceled(id_, key=key.name)
        return email_id_response(id_)


def _scheduled_at(given: Any, now: float) -> float | None:
    """Return epoch seconds, None for a time in the past. Other members are ignored: some SDKs repeat the id."""
    if not isinstance(given, dict):
        raise Invalid([FieldError("", f"The request body must be one JSON object, not {json_type(given)}.")])
    value = next((given[name] for name in ("scheduled_at", "scheduledAt") if given.get(name) is not None), None)
    if value is None:
        raise Invalid(
            [FieldError("scheduled_at", "The new time is missing; give one.", ErrorName.MISSING_REQUIRED_FIELD)]
        )
    if not isinstance(value, str):
        raise Invalid([FieldError("scheduled_at", f"It must be a string, not {json_type(value)}.")])
    try:
        return send_time.parse(value, now, grace=math.inf)
    except send_time.SchedulingError as error:
        raise Invalid([FieldError("scheduled_at", str(error))]) from None


def _check(id_: UUID, change: Change | None) -> None:
    if change is None:
        raise NoEmail(id_)
    if not change.applied:
        raise NotScheduled(change.state)
