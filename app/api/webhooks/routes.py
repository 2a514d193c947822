"""Routes under /webhooks, with the paths and members of Resend's. All require full access."""

import base64
import secrets
from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path, Query
from starlette.responses import Response

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.headers import json_object
from app.api.http.params import PageQuery, PathId, list_object
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.problems.problem import FieldError, Invalid, NotFound
from app.api.webhooks import schema, view
from app.api.webhooks.input import ReplayInput, WebhookInput, WebhookRevision, check_endpoint
from app.store.webhooks.records import Delivery, Revision, Rotation, Secret, Webhook

SECRET_BYTES = 32  # Standard Webhooks requires 24 to 64
SECRET_OVERLAP = 86_400.0  # seconds for which the old secret signs beside a new one
MAX_WEBHOOKS = 50  # each event is stored once per webhook
_TOO_MANY_WEBHOOKS = f"There are already {MAX_WEBHOOKS} webhooks, which is the maximum. Remove one first."

_WebhookId: TypeAlias = Annotated[PathId, Path(description="The id of the webhook.")]
_EventId: TypeAlias = Annotated[PathId, Path(description="The id of the event.")]
_operation = partial(operation, tag=Tag.WEBHOOKS, needs=RequiredPermission.FULL_ACCESS)


class WebhookRoutes:
    """Create, change, rotate and remove webhooks; list and replay their events."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "createWebhook",
        "Create a webhook",
        examples={"an endpoint": schema.INPUT},
        answer=Answer(
            "The webhook. It receives events that occur from now on.",
            view.WebhookWithSecret,
            {"created": schema.WITH_SECRET},
        ),
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.LINKS,
    )
    async def create(self, request: ApiRequest, body: WebhookInput) -> Response:
        """POST /webhooks. Events that occurred before are not sent."""
        self._check_endpoint(body.endpoint)
        if len(await self._context.store.webhooks()) >= MAX_WEBHOOKS:
            raise Invalid([FieldError("", _TOO_MANY_WEBHOOKS)])
        secret = Secret(_new_secret())
        webhook = Webhook(uuid4(), body.endpoint, body.events, self._context.clock.now(), (secret,))
        await self._context.store.create_webhook(webhook)
        logs.webhook_changed(webhook.id, what="created", key=request.key.name)
        return json_object(view.with_secret(webhook))

    @_operation(
        "listWebhooks",
        "List the webhooks",
        answer=Answer("All webhooks, newest first.", schema.WebhookList, {"one": list_object([schema.WEBHOOK])}),
    )
    async def list_(self) -> Response:
        """GET /webhooks, newest first."""
        return json_object(list_object(map(view.webhook, await self._context.store.webhooks())))

    @_operation(
        "getWebhook",
        "Get a webhook",
        answer=Answer("The webhook with its signing secret.", view.WebhookWithSecret, {"enabled": schema.WITH_SECRET}),
        errors=schema.ID_ERRORS,
    )
    async def show(self, id: _WebhookId) -> Response:
        """GET /webhooks/{id}, with the signing secret."""
        return json_object(view.with_secret(await self._webhook(id)))

    @_operation(
        "reviseWebhook",
        "Change a webhook",
        examples={"disable it": {"status": "disabled"}},
        answer=Answer("The webhook was changed.", schema.RevisedWebhook, {"changed": schema.CHANGED}),
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
        description="Pending events of a disabled webhook are sent when it is enabled again.",
    )
    async def revise(self, request: ApiRequest, id: _WebhookId, body: WebhookRevision) -> Response:
        """PATCH /webhooks/{id}: change the endpoint, the events or the status."""
        if body.endpoint is not None:
            self._check_endpoint(body.endpoint)
        if not await self._context.store.revise_webhook(Revision(id, body.endpoint, body.events, body.status)):
            raise _no_webhook(id)
        logs.webhook_changed(id, what="revised", key=request.key.name)
        return json_object({"object": "webhook", "id": str(id)})

    @_operation(
        "removeWebhook",
        "Remove a webhook",
        answer=Answer(
            "The webhook was removed.", schema.RemovedWebhook, {"removed": {**schema.CHANGED, "deleted": True}}
        ),
        errors=schema.ID_ERRORS,
    )
    async def remove(self, request: ApiRequest, id: _WebhookId) -> Response:
        """DELETE /webhooks/{id}."""
        if not await self._context.store.remove_webhook(id):
            raise _no_webhook(id)
        logs.webhook_changed(id, what="removed", key=request.key.name)
        return json_object({"object": "webhook", "id": str(id), "deleted": True})

    @_operation(
        "rotateWebhookSecret",
        "Rotate the signing secret of a webhook",
        answer=Answer(
            "The new secret. Requests are signed with both secrets for 24 hours.",
            schema.RotatedWebhook,
            {"rotated": {**schema.CHANGED, "signing_secret": schema.WITH_SECRET["signing_secret"]}},
        ),
        errors=schema.ID_ERRORS,
    )
    async def rotate(self, request: ApiRequest, id: _WebhookId) -> Response:
        """POST /webhooks/{id}/signing-secret/rotate. Both secrets sign for 24 hours."""
        now = self._context.clock.now()
        rotation = Rotation(id, _new_secret(), now, now + SECRET_OVERLAP)
        if not await self._context.store.rotate_webhook(rotation):
            raise _no_webhook(id)
        logs.webhook_changed(id, what="secret rotated", key=request.key.name)
        return json_object({"object": "webhook", "id": str(id), "signing_secret": rotation.secret})

    @_operation(
        "listWebhookEvents",
        "List the events of a webhook",
        answer=Answer(
            "Sent and pending events, newest first.",
            schema.WebhookEventList,
            {"one": list_object([schema.EVENT])},
        ),
        errors=(*schema.ID_ERRORS, *schema.PAGE_ERRORS),
        links=schema.EVENT_LINKS,
    )
    async def events(self, id: _WebhookId, page: Annotated[PageQuery, Query()]) -> Response:
        """GET /webhooks/{id}/events: sent and pending events, newest first."""
        webhook = await self._webhook(id)
        found = await self._context.store.deliveries(webhook.id, page.after, page.limit + 1)
        return json_object(list_object(map(view.event, found[: page.limit]), has_more=len(found) > page.limit))

    @_operation(
        "getWebhookEvent",
        "Get an event of a webhook",
        answer=Answer("The event with its payload.", view.WholeWebhookEvent, {"sent": schema.WHOLE_EVENT}),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def event(self, id: _WebhookId, event_id: _EventId) -> Response:
        """GET /webhooks/{id}/events/{event_id}, with the payload."""
        return json_object(view.whole_event(await self._delivery(id, event_id)))

    @_operation(
        "listWebhookEventTries",
        "List the delivery attempts of an event",
        answer=Answer(
            "The latest delivery attempts, newest first.",
            schema.WebhookTryList,
            {"one": list_object([schema.TRY])},
        ),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def attempts(self, id: _WebhookId, event_id: _EventId) -> Response:
        """GET /webhooks/{id}/events/{event_id}/attempts: the latest delivery attempts."""
        return json_object(list_object(view.attempts(await self._delivery(id, event_id))))

    @_operation(
        "replayWebhookEvent",
        "Replay an event",
        answer=Answer(
            "The event is sent again with the same id.",
            schema.ReplayedEvent,
            {"replayed": {"object": "webhook_event", "id": schema.EVENT["id"]}},
        ),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def replay(self, request: ApiRequest, id: _WebhookId, event_id: _EventId) -> Response:
        """POST /webhooks/{id}/events/{event_id}/replay: send the event again with the same id."""
        if not await self._context.store.replay(id, event_id, self._context.clock.now()):
            raise _no_event(id, event_id)
        logs.webhook_changed(id, what="event replayed", key=request.key.name)
        return json_object({"object": "webhook_event", "id": str(event_id)})

    @_operation(
        "replayWebhook",
        "Replay the failed events of a webhook",
        examples={"since a time": {"since": "2026-11-24T09:00:00Z"}},
        answer=Answer(
            "Every failed event since that time is sent again.",
            schema.ReplayedWebhook,
            {"replayed": {**schema.CHANGED, "replayed": 3}},
        ),
        errors=(*schema.ID_ERRORS, *schema.SINCE_ERRORS),
    )
    async def replay_failed(self, request: ApiRequest, id: _WebhookId, body: ReplayInput) -> Response:
        """POST /webhooks/{id}/replay: send every failed event since a time again."""
        webhook = await self._webhook(id)
        count = await self._context.store.replay_failed(webhook.id, body.since, self._context.clock.now())
        logs.webhook_changed(webhook.id, what=f"{count} events replayed", key=request.key.name)
        return json_object({"object": "webhook", "id": str(webhook.id), "replayed": count})

    def _check_endpoint(self, url: str) -> None:
        check_endpoint(url, private=self._context.allow_private_webhooks)

    async def _webhook(self, id: UUID) -> Webhook:
        webhook = await self._context.store.webhook(id)
        if webhook is None:
            raise _no_webhook(id)
        return webhook

    async def _delivery(self, id: UUID, event_id: UUID) -> Delivery:
        delivery = await self._context.store.delivery(id, event_id)
        if delivery is None:
            raise _no_event(id, event_id)
        return delivery


def _new_secret() -> str:
    """Return a new signing secret in the form of Standard Webhooks: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _no_webhook(id: UUID) -> NotFound:
    return NotFound(f"There is no webhook {id}.")


def _no_event(id: UUID, event_id: UUID) -> NotFound:
    return NotFound(f"The webhook {id} has no event {event_id}.")
