"""GET /emails/{id}; retry and confirm, decisions of an operator about an email; and the problems of impossible ones."""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from starlette.responses import Response
from starlette.types import Scope

from app import logs
from app.api.auth.limits import INLINE_SIZE, charge, large_work_slot
from app.api.context import ApiContext
from app.api.emails import view
from app.api.emails.outcome_waiter import OutcomeWaiter
from app.api.http import headers
from app.api.http.api_route import ApiRequest
from app.api.http.headers import JsonResponse
from app.api.http.params import EmailId
from app.api.openapi.email_samples import CHANGED, ID_ERRORS, SENT
from app.api.openapi.operation import HeaderField, OperationTag, RequiredPermission, operation
from app.api.problems.problem import NoEmail, NotHeld, NotRetryable, found
from app.mail.lifecycle import ENDED_STATES, MessageState
from app.store.keys.records import Key
from app.store.records import Change, Email

_PREFER = HeaderField(
    "Prefer",
    {"type": "string"},
    "`wait=N` (RFC 7240): answer as soon as the outcome is known, or after N seconds, 30 at most. `Preference-Applied` "
    "says that it was done. Anything else is ignored.",
    "wait=10",
)

_operation = partial(operation, tag=OperationTag.DECISIONS, needs=RequiredPermission.FULL_ACCESS)


class EmailRoutes:
    """Routes that show one email and decide about it."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._outcomes = OutcomeWaiter(context.store, context.clock, context.draining)

    @operation(
        "GET /emails/{id:but_words}",
        "The email with its state.",
        {"sent": SENT},
        tag=OperationTag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        type=view.EmailObject,
        headers=(_PREFER,),
        answer_headers={"Preference-Applied": "`wait=N`, where that was asked for and done."},
        errors=ID_ERRORS,
    )
    async def get_email(self, request: ApiRequest, id: EmailId) -> Response:
        """Get an email and its state."""
        key = request.key
        email, waited = await self._email(id, key), False
        seconds = headers.wait_seconds(request.scope)
        if seconds is not None:
            waited = email.state in ENDED_STATES or await self._outcomes.wait(id, seconds, key.id)
            email = await self._email(id, key)
        response = JsonResponse(await self._rendered(request.scope, email))
        if waited:
            response.headers["preference-applied"] = f"wait={seconds}"
        elif seconds is not None:  # too many requests wait: do not keep the connection open
            response.headers["connection"] = "close"
        return response

    @_operation(
        "POST /emails/{id}/retry",
        "It is in the queue again.",
        CHANGED,
        errors=(*ID_ERRORS, NotRetryable(MessageState.CANCELLED), NotRetryable(MessageState.DONE, kept=False)),
    )
    async def retry_email(self, request: ApiRequest, id: EmailId) -> view.RetriedEmail:
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
        return view.retried(id, suppressed)

    @_operation(
        "POST /emails/{id}/confirm",
        "It counts as sent.",
        CHANGED,
        errors=(*ID_ERRORS, NotHeld(MessageState.QUEUED)),
    )
    async def confirm_email(self, request: ApiRequest, id: EmailId) -> view.EmailIdResponse:
        """Confirm that a held email was delivered.

        For an email whose outcome is unknown, once it was found in Message trace. A body is not read.
        """
        change = found(await self._context.store.confirm(id, self._context.clock.now(), by=request.actor), NoEmail(id))
        if not change.applied:
            raise not_held(change)
        logs.confirmed(id, key=request.key.name)
        return view.changed(id)

    async def _email(self, id_: UUID, key: Key) -> Email:
        return found(await self._context.store.get(id_, key.scope), NoEmail(id_))

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


def not_retryable(change: Change, suppressed: Sequence[str] = ()) -> NotRetryable:
    """Return the problem of an email that cannot be retried. `suppressed`: recipients on the suppression list."""
    return NotRetryable(change.state, kept=change.has_content, suppressed=suppressed)


def not_held(change: Change) -> NotHeld:
    """Return the problem of an email that cannot be confirmed."""
    return NotHeld(change.state)
