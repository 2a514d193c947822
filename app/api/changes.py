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
from app.api import body, document, scheduling
from app.api.attempt_limit import AttemptLimiter
from app.api.edge import Edge
from app.api.errors import Flaw, Invalid, Name, NoEmail, NotScheduled
from app.api.fields import kind
from app.api.keys import Keyring, actor
from app.api.memory import SMALL
from app.api.openapi import Body, Needs, Tag, operation
from app.api.openapi_email import SEND_TIME
from app.api.openapi_errors import invalid
from app.api.openapi_shared import ID_PART, OF_ONE, TOO_MANY, changed_email
from app.api.openapi_types import AT, says
from app.api.refusals import Refusals
from app.api.wire import changed, path_id
from app.mail.lifecycle import MessageState
from app.store.records import Change


class Reschedule(TypedDict):
    """Another time. Other members are ignored."""

    scheduled_at: Annotated[SEND_TIME, says("Also as `scheduledAt`. A time that has passed means at once.")]


_OF_TIME = (
    invalid("scheduled_at", "The new time is missing; give one.", Name.MISSING_REQUIRED_FIELD),
    invalid("scheduled_at", "It is more than 30 days ahead; choose an earlier time, or send it later."),
)


class Changes:
    """PATCH /emails/{id} and POST /emails/{id}/cancel."""

    def __init__(self, edge: Edge, keyring: Keyring, refusals: Refusals, attempts: AttemptLimiter) -> None:
        self._edge = edge
        self._keyring = keyring
        self._sums = refusals
        self._attempts = attempts

    @operation(
        "rescheduleEmail",
        "Give a scheduled email another time",
        tag=Tag.EMAILS,
        needs=Needs.READER,
        parameters=(ID_PART,),
        body=Body(Reschedule, {"a moment": {"scheduled_at": AT}, "a delay": {"scheduled_at": "in 2 hours"}}),
        answer=changed_email("It goes at the new time."),
        refuses=(*OF_ONE, *_OF_TIME, NotScheduled(MessageState.DONE), TOO_MANY),
        description="Only before the time that it is scheduled for.",
    )
    async def reschedule(self, request: Request) -> Response:
        """PATCH /emails/{id}: another `scheduled_at`. A time that has passed sends it at once."""
        key = await self._keyring.reader(request)
        id_ = path_id(request)
        self._attempts.admit(key)
        given = document.parse(await body.read(request, self._edge.limits, SMALL))
        now = self._edge.clock.now()
        at = _scheduled_at(given, now)
        change = await self._edge.store.reschedule(id_, now if at is None else at, now, key.scope)
        _check(id_, change)
        logs.rescheduled(id_, at=now if at is None else at, key=key.name)
        return changed(id_)

    @operation(
        "cancelEmail",
        "Cancel a scheduled email",
        tag=Tag.EMAILS,
        needs=Needs.READER,
        parameters=(ID_PART,),
        answer=changed_email("It is never sent."),
        refuses=(*OF_ONE, NotScheduled(MessageState.DONE)),
        description="Only before the time that it is scheduled for. A body is not read.",
    )
    async def cancel(self, request: Request) -> Response:
        """POST /emails/{id}/cancel: it is never sent. The body is not read: the SDKs send all sorts of nothing."""
        key = await self._keyring.reader(request)
        id_ = path_id(request)
        _check(id_, await self._edge.store.cancel(id_, self._edge.clock.now(), key.scope, scheduled=True))
        await self._sums.canceled(id_, actor(request, key))
        logs.canceled(id_, key=key.name)
        return changed(id_)


def _scheduled_at(given: Any, now: float) -> float | None:
    """Epoch seconds; None: it has passed. Other members are ignored: some SDKs repeat the id here."""
    if not isinstance(given, dict):
        raise Invalid([Flaw("", f"The request body must be one JSON object, not {kind(given)}.")])
    value = next((given[name] for name in ("scheduled_at", "scheduledAt") if given.get(name) is not None), None)
    if value is None:
        raise Invalid([Flaw("scheduled_at", "The new time is missing; give one.", Name.MISSING_REQUIRED_FIELD)])
    if not isinstance(value, str):
        raise Invalid([Flaw("scheduled_at", f"It must be a string, not {kind(value)}.")])
    try:
        return scheduling.parse(value, now, grace=math.inf)
    except scheduling.SchedulingError as error:
        raise Invalid([Flaw("scheduled_at", str(error))]) from None


def _check(id_: UUID, change: Change | None) -> None:
    if change is None:
        raise NoEmail(id_)
    if not change.happened:
        raise NotScheduled(change.state)
