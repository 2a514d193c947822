"""Email page: state, timeline, structure, attempts, and the actions of an operator."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from app import logs
from app.console.email.content import structure
from app.console.email.lookup import NO_EMAIL, email_id, find_email
from app.console.email.timeline import is_accepted, timeline
from app.console.request import ACTOR, ConsoleRequest, PageError
from app.mail.lifecycle import WAITING_STATES, Event, LastEvent, MessageState, RecipientState, sources
from app.mail.outcome.attempt import Phase
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import stay_suppressed
from app.store import Store
from app.store.queue.operator import is_scheduled
from app.store.read.last_event import operator_event
from app.store.read.status import DeliveryStatus
from app.store.records import Change, Email

SEND_NOW = "send_now"
MAY_DUPLICATE = PageError(
    400,
    "Not done",
    "The email may have arrived already. Search Message trace for its Message-ID, then tick the box.",
)
DONE = {
    "retry": "The email is in the queue again.",
    "cancel": "The email is cancelled and will not be relayed.",
    "confirm": "The email counts as sent.",
    SEND_NOW: "The email is sent now.",
    "tested": "The test email is accepted. This page shows what becomes of it.",
    "late": "Nothing was done, because the state of the email has changed in the meantime.",
}
PHASES: Mapping[Phase, str] = {
    **{phase: phase.upper() for phase in Phase},
    Phase.CONNECT: "the connection",
    Phase.GREETING: "the greeting",
    Phase.CONTENT: "the transfer of the content",
    Phase.DOT: "the end of the content",
}
HELD_FIX = "1. Search Message trace for its Message-ID. 2. If it is there, confirm the email; if not, retry it."
COMMANDS = ("retry", "cancel", "confirm")  # of `postern emails`

_ACTIONS: Mapping[str, tuple[Callable[..., Awaitable[Change | None]], Callable[..., None]]] = {
    "retry": (Store.retry, logs.retried),
    "cancel": (Store.cancel, logs.canceled),
    "confirm": (Store.confirm, logs.confirmed),
}


async def show_email(request: ConsoleRequest) -> Response:
    """GET /console/emails/{id}."""
    store, now = request.context.store, request.now
    email = await find_email(request)
    key = await store.key(email.key_id)
    label = str(operator_event(email, now))
    delivery = await store.delivery_status(email, request.context.capacities, now)
    return request.page(
        "email/email.html",
        email=email,
        label=label,
        key=key and key.key,
        why=Explanation(delivery.why.summary, HELD_FIX) if email.state is MessageState.HELD else delivery.why,
        delivery=delivery,
        steps=timeline(email, label, key.key.name if key else str(email.key_id), delivery, now),
        structure=await structure(request, email),
        actions=allowed_actions(email) | ({SEND_NOW} if is_scheduled(email, now) else set()),
        commands=COMMANDS,
        may_duplicate=may_duplicate(email),
        needs_action=needs_action(email, label, delivery),
        is_accepted=is_accepted,
        phases=PHASES,
        message_trace=request.context.message_traces.get(email.pool, ""),
        done=await _done(request, email),
    )


async def _done(request: ConsoleRequest, email: Email) -> str:
    """Return the sentence about the action that led here; after a retry also about recipients that get nothing."""
    action = request.query.get("done", "")
    suppressed = await request.context.store.still_suppressed([email.id], request.now) if action == "retry" else {}
    return " ".join([DONE.get(action, ""), *map(stay_suppressed, suppressed.values())])


async def change_email(request: ConsoleRequest) -> Response:
    """POST /console/emails/{id}: retry, cancel, confirm or send now. A retry that may duplicate needs a ticked box."""
    id, action = email_id(request), request.form.get("action", "")
    if action == "retry" and request.form.get("confirmed") != "yes" and may_duplicate(await find_email(request)):
        raise MAY_DUPLICATE
    if action == SEND_NOW:
        change = await request.context.store.reschedule(id, request.now, request.now, by=request.actor)
    elif action in _ACTIONS:
        change = await _ACTIONS[action][0](request.context.store, id, request.now, by=request.actor)
    else:
        raise PageError(400, "Not done", "The only actions for an email are retry, cancel, confirm and send_now.")
    if change is None:
        raise NO_EMAIL
    if change.applied:
        _log(request, action)
    return request.redirect(f"/emails/{id}", done=action if change.applied else "late")


def _log(request: ConsoleRequest, action: str) -> None:
    id = email_id(request)
    if action == SEND_NOW:
        logs.rescheduled(id, at=request.now, key=ACTOR)
    else:
        _ACTIONS[action][1](id, key=ACTOR)


def allowed_actions(email: Email) -> set[str]:
    """Return the actions that the lifecycle allows in the email's state."""
    failed = any(recipient.state is RecipientState.FAILED for recipient in email.recipients)
    stored = email.content_removed_at is None
    retryable = email.state in sources(Event.RELEASE) or (failed and email.state in sources(Event.RETRY))
    possible = {
        "retry": stored and retryable,
        "cancel": email.state in sources(Event.CANCEL),
        "confirm": email.state in sources(Event.CONFIRM),
    }
    return {action for action, allowed in possible.items() if allowed}


def needs_action(email: Email, label: str, delivery: DeliveryStatus) -> bool:
    """Return whether a person has to act: it failed, is held, or waits while no mailbox of its pool can send."""
    blocked = email.state in WAITING_STATES and delivery.estimated_send_at is None
    return blocked or label in (MessageState.HELD, LastEvent.FAILED, LastEvent.BOUNCED)


def may_duplicate(email: Email) -> bool:
    """Return whether another attempt may deliver a second copy."""
    in_doubt = any(attempt.in_doubt for attempt in email.attempts)
    return email.state in (MessageState.HELD, MessageState.DONE) and (email.possible_duplicate or in_doubt)
