"""Email page: state, recipients, attempts, and the operator's retry, cancel and confirm.

Of the content, the page shows only types, names and sizes of the parts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from starlette.responses import Response

from app import logs
from app.console.request import ACTOR, ConsoleRequest, PageError
from app.mail.lifecycle import Event, MessageState, RecipientState, sources
from app.mail.message import stored_parts as mime
from app.store import Store
from app.store.read.last_event import operator_event
from app.store.records import Change, Email

MAX_PARSED_SIZE = 8 * 2**20  # bytes
NO_EMAIL = PageError(404, "Not found", "There is no such email. Finished emails are removed after some days.")
MAY_DUPLICATE = PageError(
    400,
    "Not done",
    "The email may have arrived already. Search Message trace for its Message-ID, then tick the box.",
)


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Part of an email's content; size in bytes."""

    type: str
    name: str
    size: int


DONE = {
    "retry": "The email is in the queue again.",
    "cancel": "The email is cancelled and will not be relayed.",
    "confirm": "The email counts as sent.",
    "late": "Nothing was done, because the state of the email has changed in the meantime.",
}


_ACTIONS: Mapping[str, tuple[Callable[..., Awaitable[Change | None]], Callable[..., None]]] = {
    "retry": (Store.retry, logs.retried),
    "cancel": (Store.cancel, logs.canceled),
    "confirm": (Store.confirm, logs.confirmed),
}


async def show_email(request: ConsoleRequest) -> Response:
    """GET /console/emails/{id}."""
    store, now = request.context.store, request.now
    if (email := await store.get(_id(request))) is None:
        raise NO_EMAIL
    return request.page(
        "email.html",
        email=email,
        label=str(operator_event(email, now)),
        delivery=await store.delivery_status(email, request.context.capacities, now),
        parts=await _parts(request, email),
        actions=allowed_actions(email),
        may_duplicate=may_duplicate(email),
        done=DONE.get(request.query.get("done", ""), ""),
    )


async def change_email(request: ConsoleRequest) -> Response:
    """POST /console/emails/{id}: retry, cancel or confirm. A retry that may duplicate needs a ticked box."""
    id, action = _id(request), request.form.get("action", "")
    if action not in _ACTIONS:
        raise PageError(400, "Not done", "The only actions for an email are retry, cancel and confirm.")
    if action == "retry" and request.form.get("confirmed") != "yes":
        email = await request.context.store.get(id)
        if email is not None and may_duplicate(email):
            raise MAY_DUPLICATE
    apply, log = _ACTIONS[action]
    change = await apply(request.context.store, id, request.now, by=request.actor)
    if change is None:
        raise NO_EMAIL
    if change.applied:
        log(id, key=ACTOR)
    return request.redirect(f"/emails/{id}", done=action if change.applied else "late")


async def _parts(request: ConsoleRequest, email: Email) -> list[PartSummary] | None:
    """Return the parts of the content, or None if it was removed or is too large to parse for a page."""
    readable = email.content_removed_at is None and email.size <= MAX_PARSED_SIZE
    content = await request.context.store.content(email.id) if readable else None
    return None if content is None else await asyncio.to_thread(parts, content)


def allowed_actions(email: Email) -> set[str]:
    """Return the actions that the lifecycle allows in the email's state."""
    failed = any(one.state is RecipientState.FAILED for one in email.recipients)
    stored = email.content_removed_at is None
    retryable = email.state in sources(Event.RELEASE) or (failed and email.state in sources(Event.RETRY))
    possible = {
        "retry": stored and retryable,
        "cancel": email.state in sources(Event.CANCEL),
        "confirm": email.state in sources(Event.CONFIRM),
    }
    return {action for action, allowed in possible.items() if allowed}


def may_duplicate(email: Email) -> bool:
    """Return whether another attempt may deliver a second copy."""
    in_doubt = any(attempt.in_doubt for attempt in email.attempts)
    return email.state in (MessageState.HELD, MessageState.DONE) and (email.possible_duplicate or in_doubt)


def parts(content: bytes) -> list[PartSummary]:
    """Return the parts of a message. Takes milliseconds, so call it outside of the event loop."""
    return [PartSummary(one.head.get_content_type(), one.filename, one.size) for one in mime.parts(content)]


def _id(request: ConsoleRequest) -> UUID:
    id: UUID = request.http.path_params["id"]
    return id
