"""POST /emails, GET /emails/{id}, and the decisions of an operator about one email: retry and confirm."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app import logs
from app.api.context import ApiContext
from app.api.emails import view
from app.api.emails.outcome_waiter import OutcomeWaiter
from app.api.http import prefer
from app.api.http.api_route import ApiRequest
from app.api.http.headers import email_id_response, json_ok
from app.api.http.memory_budget import INLINE_SIZE, charge, large_work_slot
from app.api.http.params import EmailId
from app.api.openapi.email_samples import (
    CODE,
    EMAIL_ERRORS,
    EVERYTHING,
    ID_ERRORS,
    IDEMPOTENCY_ERRORS,
    IDEMPOTENCY_KEY,
    LIMIT_ERRORS,
    RECEIPT,
    SENT,
    email_id_answer,
    email_links,
)
from app.api.openapi.operation import Answer, HeaderField, RequiredPermission, Tag, operation
from app.api.openapi.types import ID, Id
from app.api.problems.problem import NoEmail, NotHeld, NotRetryable, Problem
from app.api.submission.pipeline import SubmissionEndpoint, SubmissionPipeline, Submitted
from app.api.submission.schema import EmailInput
from app.api.submission.warnings import Warned
from app.mail.lifecycle import ENDED_STATES, MessageState
from app.store.keys.records import Key
from app.store.records import Change, Email

_SEND = SubmissionEndpoint("/emails")


_PREFER = HeaderField(
    "Prefer",
    {"type": "string"},
    "`wait=N` (RFC 7240): answer as soon as the outcome is known, or after N seconds, 30 at most. `Preference-Applied` "
    "says that it was done. Anything else is ignored.",
    "wait=10",
)
_APPLIED = {"Preference-Applied": "`wait=N`, where that was asked for and done."}

Verb = Callable[..., Awaitable[Change | None]]


class AcceptedEmail(Warned):
    """An accepted email: it is stored and will be relayed."""

    id: Id


class SendRoute:
    """Route that takes one email."""

    def __init__(self, pipeline: SubmissionPipeline) -> None:
        self._pipeline = pipeline

    @operation(
        "sendEmail",
        "Send an email",
        tag=Tag.EMAILS,
        needs=RequiredPermission.ANY_KEY,
        headers=(IDEMPOTENCY_KEY,),
        body=EmailInput,
        examples={"a receipt": RECEIPT, "a one-time code": CODE, "everything": EVERYTHING},
        answer=Answer("It is stored on disk and will be relayed.", AcceptedEmail, {"kept": {"id": ID}}),
        errors=(*EMAIL_ERRORS, *LIMIT_ERRORS, *IDEMPOTENCY_ERRORS),
        links=email_links("$response.body#/id"),
    )
    async def send(self, request: Request) -> Response:
        """POST /emails: 200 with the id once the email is on the disk."""
        return _accepted(await self._pipeline.submit(request, _SEND))


class EmailRoutes:
    """Routes that show one email and decide about it."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._outcomes = OutcomeWaiter(context.store, context.clock, context.draining)

    @operation(
        "getEmail",
        "Get an email and its state",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        headers=(_PREFER,),
        answer=Answer("The email with its state.", view.EmailObject, {"sent": SENT}, headers=_APPLIED),
        errors=ID_ERRORS,
    )
    async def show(self, request: ApiRequest, id: EmailId) -> Response:
        """GET /emails/{id}: its state, with its content while that is stored. `Prefer: wait=N` waits for its end."""
        key = request.key
        email, waited = await self._email(id, key), False
        seconds = prefer.wait(request.scope)
        if seconds is not None:
            waited = email.state in ENDED_STATES or await self._outcomes.wait(id, seconds, key.id)
            email = await self._email(id, key)
        response = json_ok(await self._rendered(request.scope, email))
        if waited:
            response.headers["preference-applied"] = f"wait={seconds}"
        elif seconds is not None:  # too many requests wait: do not keep the connection open
            response.headers["connection"] = "close"
        return response

    @operation(
        "retryEmail",
        "Retry an email",
        tag=Tag.DECISIONS,
        needs=RequiredPermission.FULL_ACCESS,
        answer=email_id_answer("It is in the queue again."),
        errors=(*ID_ERRORS, NotRetryable(MessageState.CANCELLED), NotRetryable(MessageState.DONE, kept=False)),
        description="For an email that is held, or of which some or all recipients failed. It is not sent again to "
        "recipients for whom it was accepted. A body is not read.",
    )
    async def retry(self, request: ApiRequest, id: EmailId) -> Response:
        """POST /emails/{id}/retry: a held email, or the failed recipients of an ended one, go into the queue again."""
        return await self._decide(request, id, self._context.store.retry, not_retryable, logs.retried)

    @operation(
        "confirmEmail",
        "Confirm that a held email was delivered",
        tag=Tag.DECISIONS,
        needs=RequiredPermission.FULL_ACCESS,
        answer=email_id_answer("It counts as sent."),
        errors=(*ID_ERRORS, NotHeld(MessageState.QUEUED)),
        description="For an email whose outcome is unknown, once it was found in Message trace. A body is not read.",
    )
    async def confirm(self, request: ApiRequest, id: EmailId) -> Response:
        """POST /emails/{id}/confirm: a held email was delivered, according to Message trace."""
        return await self._decide(request, id, self._context.store.confirm, not_held, logs.confirmed)

    async def _email(self, id_: UUID, key: Key) -> Email:
        email = await self._context.store.get(id_, key.scope)
        if email is None:
            raise NoEmail(id_)
        return email

    async def _rendered(self, scope: Scope, email: Email) -> bytes:
        now = self._context.clock.now()
        status = await self._context.store.delivery_status(email, self._context.capacities, now)
        size = email.size if email.content_removed_at is None else 0
        charge(scope, size)
        async with large_work_slot(scope, size):
            content = await self._context.store.content(email.id) if size else None
            render = partial(view.render, email, content, status, now)
            rendered = render() if size <= INLINE_SIZE else await asyncio.to_thread(render)
        charge(scope, len(rendered))
        return rendered

    async def _decide(
        self,
        request: ApiRequest,
        id: UUID,
        verb: Verb,
        impossible: Callable[[Change], Problem],
        log: Callable[..., None],
    ) -> Response:
        change = await verb(id, self._context.clock.now(), by=request.actor)
        if change is None:
            raise NoEmail(id)
        if not change.applied:
            raise impossible(change)
        log(id, key=request.key.name)
        return email_id_response(id)


def not_retryable(change: Change) -> NotRetryable:
    """Return the problem of an email that cannot be retried."""
    return NotRetryable(change.state, kept=change.has_content)


def not_held(change: Change) -> NotHeld:
    """Return the problem of an email that cannot be confirmed."""
    return NotHeld(change.state)


def _accepted(submitted: Submitted) -> Response:
    id_, warned = str(submitted.ids[0]), submitted.accepted[0].warned
    if not warned:  # the usual case: json.dumps would cost more than the rest of the response
        return json_ok(b'{"id":"%s"}' % id_.encode())
    return json_ok(json.dumps({"id": id_, **warned}).encode())
