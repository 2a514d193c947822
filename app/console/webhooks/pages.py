"""Pages of the webhooks: list and creation; one webhook with the log of its deliveries; one delivery with its payload.

The signing secret is shown to operators alone, after its creation, its rotation, or on request.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from starlette.responses import Response

from app.api.problems.problem import Invalid
from app.api.webhooks.input import ReplayInput, WebhookInput, WebhookRevision
from app.console.api import read_input
from app.console.request import ConsoleRequest, PageError
from app.mail.times import DAY, HOUR, iso
from app.mail.webhook.rules import EventType
from app.store.webhooks.records import Delivery, DeliveryState, Webhook, WebhookStatus

ROWS_PER_PAGE = 50
RECENT_DELIVERIES = 20  # of each webhook in the list
TABS = {"": "All", DeliveryState.PENDING: "Pending", DeliveryState.FAILED: "Failed"}
PERIODS = {int(HOUR): "the last hour", int(DAY): "the last 24 hours", int(7 * DAY): "the last 7 days"}  # by seconds
NO_WEBHOOK = PageError(404, "Not found", "There is no such webhook.")
NO_EVENT = PageError(404, "Not found", "There is no such event. Old events are removed after some days.")
DONE = {
    "changed": "The webhook is changed.",
    "enabled": "The webhook is enabled. Pending events are sent now.",
    "disabled": "The webhook is disabled. Pending events wait.",
    "removed": "The webhook is removed.",
    "replayed": "The event is sent again, with the same id.",
}


@dataclass(frozen=True, slots=True)
class WebhookView:
    """Webhook as the pages show it."""

    webhook: Webhook
    waiting: int
    failing: int = 0  # of the recent deliveries

    @property
    def address(self) -> str:
        """URL of the endpoint without user and query, which may contain secrets."""
        parts = urlsplit(self.webhook.endpoint)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


async def show_webhooks(request: ConsoleRequest) -> Response:
    """GET /console/webhooks."""
    return await _list(request)


async def create_webhook(request: ConsoleRequest) -> Response:
    """POST /console/webhooks."""
    try:
        body = read_input(WebhookInput, {"endpoint": request.form.get("endpoint", ""), "events": _events(request)})
        made = await request.context.api.webhooks.create_webhook(request.as_api, body)
    except Invalid as problem:
        return await _list(request, problem)
    return _secret_page(request, UUID(made["id"]), made["signing_secret"], "The webhook is created.")


async def show_webhook(request: ConsoleRequest) -> Response:
    """GET /console/webhooks/{id}: the webhook and a page of its deliveries."""
    return await _page(request)


async def change_webhook(request: ConsoleRequest) -> Response:
    """POST /console/webhooks/{id}: change, enable, disable, rotate, remove, show the secret, or replay."""
    id, api, action = _id(request), request.context.api.webhooks, request.form.get("action", "")
    if action == "change":
        try:
            members = {"endpoint": request.form.get("endpoint", ""), "events": _events(request)}
            await api.revise_webhook(request.as_api, id, read_input(WebhookRevision, members))
        except Invalid as problem:
            return await _page(request, problem)
        return request.redirect(f"/webhooks/{id}", done="changed")
    if action in {*WebhookStatus}:
        await api.revise_webhook(request.as_api, id, read_input(WebhookRevision, {"status": action}))
        return request.redirect(f"/webhooks/{id}", done=action)
    if action == "rotate":
        secret = (await api.rotate_webhook_secret(request.as_api, id))["signing_secret"]
        return _secret_page(request, id, secret, "The webhook has a new secret. The old one also signs for 24 hours.")
    if action == "show":
        return _secret_page(request, id, (await api.get_webhook(id))["signing_secret"], "")
    if action == "remove":
        await api.remove_webhook(request.as_api, id)
        return request.redirect("/webhooks", done="removed")
    if action == "replay":
        return await _replay_failed(request, id)
    raise PageError(400, "Not done", "There is no such action for a webhook.")


async def show_event(request: ConsoleRequest) -> Response:
    """GET /console/webhooks/{id}/events/{event_id}: payload and attempts."""
    id, event_id = _id(request), request.http.path_params["event_id"]
    webhook = await _webhook(request)
    delivery = await request.context.store.delivery(id, event_id)
    if delivery is None:
        raise NO_EVENT
    return request.page(
        "webhooks/event.html",
        view=WebhookView(webhook, 0),
        delivery=delivery,
        payload=json.dumps(json.loads(delivery.payload), indent=2, ensure_ascii=False),
        email_id=json.loads(delivery.payload).get("data", {}).get("email_id"),
        done=DONE.get(request.query.get("done", ""), ""),
    )


async def replay_event(request: ConsoleRequest) -> Response:
    """POST /console/webhooks/{id}/events/{event_id}: send the event again."""
    id, event_id = _id(request), request.http.path_params["event_id"]
    await request.context.api.webhooks.replay_webhook_event(request.as_api, id, event_id)
    return request.redirect(f"/webhooks/{id}/events/{event_id}", done="replayed")


async def _list(request: ConsoleRequest, problem: Invalid | None = None) -> Response:
    store = request.context.store
    views = [
        WebhookView(
            webhook,
            await store.webhook_backlog(webhook.id),
            len(_failing(await store.deliveries(webhook.id, None, RECENT_DELIVERIES))),
        )
        for webhook in await store.webhooks()
    ]
    return request.page(
        "webhooks/list.html",
        422 if problem else 200,
        webhooks=views,
        recent=RECENT_DELIVERIES,
        refused=problem,
        events=_event_choices(request),
        given={"endpoint": request.form.get("endpoint", ""), "events": _events(request)},
        done=DONE.get(request.query.get("done", ""), ""),
    )


async def _page(request: ConsoleRequest, problem: Invalid | None = None) -> Response:
    store, webhook = request.context.store, await _webhook(request)
    state = request.query.get("state", "")
    deliveries = await _deliveries(request, webhook.id, state)
    view = WebhookView(webhook, await store.webhook_backlog(webhook.id))
    given = {"endpoint": webhook.endpoint, "events": webhook.events}
    if problem:
        given = {"endpoint": request.form.get("endpoint", ""), "events": tuple(_events(request))}
    return request.page(
        "webhooks/webhook.html",
        422 if problem else 200,
        view=view,
        deliveries=deliveries[:ROWS_PER_PAGE],
        older=_older(deliveries, state) if len(deliveries) > ROWS_PER_PAGE and state != DeliveryState.PENDING else "",
        state=state if state in TABS else "",
        tabs=TABS,
        refused=problem,
        events=_event_choices(request, webhook.events),
        given=given,
        periods=PERIODS,
        done=_done(request),
    )


async def _deliveries(request: ConsoleRequest, id: UUID, state: str) -> Sequence[Delivery]:
    """Return a page of deliveries, and one more if there is one."""
    store, after = request.context.store, request.cursor("after", "the id of an event")
    if state == DeliveryState.PENDING:
        return await store.next_deliveries(id, ROWS_PER_PAGE)
    return await store.deliveries(id, after, ROWS_PER_PAGE + 1, failed=state == DeliveryState.FAILED)


def _older(deliveries: Sequence[Delivery], state: str) -> str:
    """Return the query string of the next page."""
    values = {"state": state, "after": str(deliveries[ROWS_PER_PAGE - 1].event_id)}
    return urlencode({name: value for name, value in values.items() if value})


async def _replay_failed(request: ConsoleRequest, id: UUID) -> Response:
    """Replay what failed in one of the PERIODS."""
    seconds = request.form.get("period", "")
    if seconds not in {str(period) for period in PERIODS}:
        raise PageError(400, "Not done", "Choose one of the periods of the list.")
    body = read_input(ReplayInput, {"since": iso(request.now - int(seconds))})
    answer = await request.context.api.webhooks.replay_webhook(request.as_api, id, body)
    return request.redirect(f"/webhooks/{id}", replayed=str(answer["replayed"]))


def _done(request: ConsoleRequest) -> str:
    number = request.query.get("replayed", "")
    if number.isdecimal():
        return f"{number} failed {'event is' if number == '1' else 'events are'} sent again."
    return DONE.get(request.query.get("done", ""), "")


def _secret_page(request: ConsoleRequest, id: UUID, secret: str, done: str) -> Response:
    return request.page("webhooks/secret.html", id=id, secret=secret, done=done)


def _event_choices(request: ConsoleRequest, chosen: Sequence[str] = ()) -> list[str]:
    """Return the types that this Postern can send, and those that are chosen already."""
    possible = [str(event) for event in EventType if event not in request.context.api.never_sent]
    return [*possible, *(event for event in chosen if event not in possible)]


def _events(request: ConsoleRequest) -> list[str]:
    return [name.removeprefix("events.") for name in request.form if name.startswith("events.")]


def _failing(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.state is not DeliveryState.DELIVERED and delivery.history]


async def _webhook(request: ConsoleRequest) -> Webhook:
    webhook = await request.context.store.webhook(_id(request))
    if webhook is None:
        raise NO_WEBHOOK
    return webhook


def _id(request: ConsoleRequest) -> UUID:
    id: UUID = request.http.path_params["id"]
    return id
