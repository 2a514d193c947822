"""Routes of accepted emails: GET /emails and its filters, GET /emails/{id}, decisions of an operator, rescheduling.

A scheduled email is rescheduled or cancelled only before its time: afterwards it may be sent at any moment. An
administrator cancels emails that wait longer with `postern emails cancel`.
"""

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Self, TypeAlias
from uuid import UUID

from fastapi import Query
from pydantic import AliasChoices, BaseModel, Field, PlainValidator, WithJsonSchema, model_validator
from starlette.responses import Response
from starlette.types import Scope

from app import logs
from app.api.auth.limits import INLINE_SIZE, large_work_slot, reserve
from app.api.auth.refusal_audit import RefusalAudit
from app.api.context import ApiContext
from app.api.emails.outcome_waiter import OutcomeWaiter
from app.api.emails.view import EmailIdResponse, EmailObject, ListedEmail, RetriedEmail, changed, listed, retried
from app.api.emails.view import render as render_email
from app.api.http.api_route import ApiRequest
from app.api.http.headers import wait_seconds
from app.api.http.params import (
    DEFAULT_PAGE,
    INVALID_LIMIT,
    EmailId,
    JsonInput,
    Page,
    PageLimit,
    Required,
    check_direction,
    list_object,
    uuid,
)
from app.api.openapi.email_samples import CHANGED, HEAD, ID_ERRORS, SENT, TOO_MANY_ATTEMPTS
from app.api.openapi.errors import invalid
from app.api.openapi.operation import HeaderField, OperationTag, RequiredPermission, operation
from app.api.openapi.types import AT, ID, SEND_TIME, EmailAddress, Id, describe
from app.api.problems.problem import (
    ErrorName,
    FieldError,
    Invalid,
    NoEmail,
    NotHeld,
    NotRetryable,
    NotScheduled,
    found,
)
from app.api.problems.validation import string
from app.api.submission import fields
from app.mail.lifecycle import ENDED_STATES, LastEvent, MessageState
from app.mail.message.message import Lane
from app.mail.times import moment
from app.store.db import uuid7
from app.store.keys.records import Key
from app.store.read import email_filters
from app.store.read.records import Selection
from app.store.records import Change, Email

_TAG = r"^[A-Za-z0-9_-]{1,256}(:[^\u0000]{0,1000})?$"
_Cursor: TypeAlias = Annotated[UUID | None, PlainValidator(email_filters.email_id, Id)]
_AddressFilter: TypeAlias = Annotated[str | None, PlainValidator(email_filters.address, EmailAddress)]

_PREFER = HeaderField(
    "Prefer",
    {"type": "string"},
    "`wait=N` (RFC 7240): answer as soon as the outcome is known, or after N seconds, 30 at most. `Preference-Applied` "
    "says that it was done. Anything else is ignored.",
    "wait=10",
)

_decision = partial(operation, tag=OperationTag.DECISIONS, needs=RequiredPermission.FULL_ACCESS)

_MISSING = "The new time is missing; give one."

_TIME_ERRORS = (
    invalid("scheduled_at", _MISSING, ErrorName.MISSING_REQUIRED_FIELD),
    invalid("scheduled_at", "It is more than 30 days ahead; choose an earlier time, or send it later."),
)

_operation = partial(operation, tag=OperationTag.EMAILS, needs=RequiredPermission.READ_ACCESS)


def _first_id_at(text: str) -> UUID:
    at = moment(text)
    if at is None:
        raise ValueError("It must be a time in ISO 8601 like 2026-11-23T20:08:28Z; write a + in it as %2B.")
    return uuid7.first_at(at)


_Time: TypeAlias = Annotated[
    UUID | None,
    PlainValidator(_first_id_at, Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]),
]


class EmailQuery(BaseModel):
    """Filters and page of a list of emails."""

    limit: PageLimit = describe("Emails on a page; 20 by default.", default=DEFAULT_PAGE, examples=[DEFAULT_PAGE])
    after: _Cursor = describe("The id of an email: those that were accepted before it.", default=None, examples=[ID])
    before: _Cursor = describe("The id of an email: those that were accepted after it.", default=None)
    last_event: Annotated[LastEvent | None, PlainValidator(email_filters.last_event, LastEvent)] = describe(
        "The state of the emails.", default=None
    )
    to: _AddressFilter = describe("A recipient, also of cc and bcc, in any case.", default=None)
    sender: _AddressFilter = describe("The sender, in any case.", default=None, alias="from")
    tag: Annotated[  # FastAPI would read a tuple from several parameters
        Any, PlainValidator(email_filters.tag, Annotated[str, Field(pattern=_TAG)])
    ] = describe(
        "The name of a tag, or `name:value`. Tags from Postmark's SDKs may have any value.",
        default=None,
        examples=["category:receipt"],
    )
    key: Annotated[UUID | None, PlainValidator(uuid, Id)] = describe(
        "The id of the API key that sent them. A key without full access sees its own emails only.", default=None
    )
    lane: Annotated[Lane | None, PlainValidator(email_filters.lane, Lane)] = describe("The lane.", default=None)
    created_after: _Time = describe("Accepted at this time or later. Write a + in it as %2B.", default=None)
    created_before: _Time = describe("Accepted before this time.", default=None)
    q: Annotated[
        str | None,
        PlainValidator(
            email_filters.subject,
            Annotated[str, Field(min_length=1, max_length=email_filters.MAX_SUBJECT_LENGTH, pattern=r"^[^\u0000]+$")],
        ),
    ] = describe("A part of the subject; A to Z in any case.", default=None, examples=["receipt"])

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        check_direction(self.after, self.before)
        return self

    def selection(self, key_id: UUID | None) -> Selection:
        """Return the selected emails. `key_id` restricts them to one key."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return email_filters.selection({**values, "from": self.sender, "subject": self.q}, key_id)


class EmailList(Page):
    """Page of emails, newest first."""

    data: list[ListedEmail]

    next: Annotated[
        Id | None,
        describe("Value of `after`, or of `before` in that direction, for the next page. null: the last page."),
    ]


class Reschedule(JsonInput):
    """New time of a scheduled email. Other members are ignored: some SDKs repeat the id."""

    may_be_empty = False

    scheduled_at: Annotated[str, PlainValidator(string, SEND_TIME), Required(_MISSING)] = describe(
        "Also as `scheduledAt`. A time in the past sends it immediately.",
        default="",
        validation_alias=AliasChoices("scheduled_at", "scheduledAt"),
    )


class EmailRoutes:
    """Routes that list, show and change emails."""

    def __init__(self, context: ApiContext, refusals: RefusalAudit) -> None:
        self._context = context
        self._refusals = refusals
        self._outcomes = OutcomeWaiter(context.store, context.clock, context.draining)

    @_operation(
        "GET /emails",
        "A page of accepted emails, newest first.",
        {"a page": {**list_object(EmailList, [HEAD], has_more=True), "next": ID}},
        errors=(invalid("limit", INVALID_LIMIT),),
    )
    async def list_emails(self, request: ApiRequest, query: Annotated[EmailQuery, Query()]) -> EmailList:
        """Find emails.

        Give `after` or `before`, not both. Filters can be combined. If few of many emails match, a page may be short or
        empty, and still have a `next`.
        """
        now, oldest_first = self._context.clock.now(), query.before is not None
        wanted = query.selection(request.key.scope)
        page = await self._context.store.list_emails(wanted, query.limit, now, oldest_first=oldest_first)
        found = list_object(EmailList, (listed(email, now) for email in page.emails), has_more=page.next_id is not None)
        return {**found, "next": None if page.next_id is None else str(page.next_id)}

    @_operation(
        "GET /emails/{id:but_words}",
        "The email with its state.",
        {"sent": SENT},
        type=EmailObject,
        headers=(_PREFER,),
        answer_headers={"Preference-Applied": "`wait=N`, where that was asked for and done."},
        errors=ID_ERRORS,
    )
    async def get_email(self, request: ApiRequest, id: EmailId) -> Response:
        """Get an email and its state."""
        key = request.key
        email, waited = await self._email(id, key), False
        seconds = wait_seconds(request.scope)
        if seconds is not None:
            waited = email.state in ENDED_STATES or await self._outcomes.wait(id, seconds, key.id)
            email = await self._email(id, key)
        response = Response(await self._rendered(request.scope, email), media_type="application/json")
        if waited:
            response.headers["preference-applied"] = f"wait={seconds}"
        elif seconds is not None:  # too many requests wait: do not keep the connection open
            response.headers["connection"] = "close"
        return response

    @_decision(
        "POST /emails/{id}/retry",
        "It is in the queue again.",
        CHANGED,
        errors=(*ID_ERRORS, NotRetryable(MessageState.CANCELLED), NotRetryable(MessageState.DONE, kept=False)),
    )
    async def retry_email(self, request: ApiRequest, id: EmailId) -> RetriedEmail:
        """Retry an email.

        For an email that is held, or of which some or all recipients failed. It is not sent again to recipients for
        whom it was accepted, nor to those on the suppression list: a warning names them. A body is not read.
        """
        store, now = self._context.store, self._context.clock.now()
        change = found(await store.retry(id, now, by=request.actor), NoEmail(id))
        suppressed = (await store.still_suppressed([id], now)).get(id, ())
        if not change.applied:
            raise not_retryable(change, suppressed)
        logs.retried(id, key=request.key.name)
        return retried(id, suppressed)

    @_decision(
        "POST /emails/{id}/confirm",
        "It counts as sent.",
        CHANGED,
        errors=(*ID_ERRORS, NotHeld(MessageState.QUEUED)),
    )
    async def confirm_email(self, request: ApiRequest, id: EmailId) -> EmailIdResponse:
        """Confirm that a held email was delivered.

        For an email whose outcome is unknown, once it was found in Message trace. A body is not read.
        """
        change = found(await self._context.store.confirm(id, self._context.clock.now(), by=request.actor), NoEmail(id))
        if not change.applied:
            raise not_held(change)
        logs.confirmed(id, key=request.key.name)
        return changed(id)

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

    async def _email(self, id_: UUID, key: Key) -> Email:
        return found(await self._context.store.get(id_, key.scope), NoEmail(id_))

    async def _rendered(self, scope: Scope, email: Email) -> bytes:
        now = self._context.clock.now()
        status = await self._context.store.delivery_status(email, self._context.capacities, now)
        size = email.size if email.content_removed_at is None else 0
        reserve(scope, size)
        async with large_work_slot(scope, size):
            content = await self._context.store.content(email.id) if size else None
            render = partial(render_email, email, content, status, now)
            rendered = render() if size <= INLINE_SIZE else await asyncio.to_thread(render)
        reserve(scope, len(rendered))
        return rendered


def not_retryable(change: Change, suppressed: Sequence[str] = ()) -> NotRetryable:
    """Return the problem of an email that cannot be retried. `suppressed`: recipients on the suppression list."""
    return NotRetryable(change.state, kept=change.has_content, suppressed=suppressed)


def not_held(change: Change) -> NotHeld:
    """Return the problem of an email that cannot be confirmed."""
    return NotHeld(change.state)


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
