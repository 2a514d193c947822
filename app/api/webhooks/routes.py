"""Routes under /webhooks, with the paths and members of Resend's. All require full access."""

import base64
import secrets
from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path, Query

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import INVALID_LIMIT, NO_ENTRY, ListQuery, PageQuery, PathId, list_object, list_part
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.problems.problem import FieldError, Invalid, NotFound, found
from app.api.webhooks import schema, view
from app.api.webhooks.input import ReplayInput, WebhookInput, WebhookRevision, check_endpoint
from app.mail.times import DAY
from app.store.webhooks.records import Delivery, Revision, Rotation, Secret, Webhook

SECRET_BYTES = 32  # Standard Webhooks requires 24 to 64
SECRET_OVERLAP = DAY  # seconds for which the old secret signs beside a new one
MAX_WEBHOOKS = 50  # each event is stored once per webhook
_TOO_MANY_WEBHOOKS = f"There are already {MAX_WEBHOOKS} webhooks, which is the maximum. Remove one first."

_WebhookId: TypeAlias = Annotated[PathId, Path(description="The id of the webhook.")]
_EventId: TypeAlias = Annotated[PathId, Path(description="The id of the event.")]
_operation = partial(operation, tag=OperationTag.WEBHOOKS, needs=RequiredPermission.FULL_ACCESS)


class WebhookRoutes:
    """Create, change, rotate and remove webhooks; list and replay their events."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /webhooks",
        "The webhook. It receives events that occur from now on.",
        {"created": schema.WITH_SECRET},
        requests={"an endpoint": schema.INPUT},
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.LINKS,
    )
    async def create_webhook(self, request: ApiRequest, body: WebhookInput) -> view.WebhookWithSecret:
        """Create a webhook."""
        self._check_endpoint(body.endpoint)
        if len(await self._context.store.webhooks()) >= MAX_WEBHOOKS:
            raise Invalid([FieldError("", _TOO_MANY_WEBHOOKS)])
        secret = Secret(_new_secret())
        webhook = Webhook(uuid4(), body.endpoint, body.events, self._context.clock.now(), (secret,))
        await self._context.store.create_webhook(webhook, by=request.actor)
        logs.webhook_changed(webhook.id, what="created", key=request.actor.name)
        return view.with_secret(webhook, self._context.never_sent)

    @_operation(
        "GET /webhooks",
        "All webhooks, newest first.",
        {"one": list_object(schema.WebhookList, [schema.WEBHOOK])},
        errors=(invalid("limit", INVALID_LIMIT), NotFound(NO_ENTRY.format("after"))),
    )
    async def list_webhooks(self, query: Annotated[ListQuery, Query()]) -> schema.WebhookList:
        """List the webhooks."""
        found = await self._context.store.webhooks()
        return list_part(
            schema.WebhookList, [view.webhook(record, self._context.never_sent) for record in found], query
        )

    @_operation(
        "GET /webhooks/{id}",
        "The webhook with its signing secret.",
        {"enabled": schema.WITH_SECRET},
        errors=schema.ID_ERRORS,
    )
    async def get_webhook(self, id: _WebhookId) -> view.WebhookWithSecret:
        """Get a webhook."""
        return view.with_secret(await self._webhook(id), self._context.never_sent)

    @_operation(
        "PATCH /webhooks/{id}",
        "The webhook was changed.",
        {"changed": schema.CHANGED},
        requests={"disable it": {"status": "disabled"}},
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
    )
    async def revise_webhook(self, request: ApiRequest, id: _WebhookId, body: WebhookRevision) -> schema.RevisedWebhook:
        """Change a webhook.

        Pending events of a disabled webhook are sent when it is enabled again.
        """
        if body.endpoint is not None:
            self._check_endpoint(body.endpoint)
        now = self._context.clock.now()
        revision = Revision(id, now, body.endpoint, body.events, body.status, by=request.actor)
        found(await self._context.store.revise_webhook(revision), _no_webhook(id))
        logs.webhook_changed(id, what="revised", key=request.actor.name)
        return {"object": "webhook", "id": str(id)}

    @_operation(
        "DELETE /webhooks/{id}",
        "The webhook was removed.",
        {"removed": {**schema.CHANGED, "deleted": True}},
        errors=schema.ID_ERRORS,
    )
    async def remove_webhook(self, request: ApiRequest, id: _WebhookId) -> schema.RemovedWebhook:
        """Remove a webhook."""
        now = self._context.clock.now()
        found(await self._context.store.remove_webhook(id, now, by=request.actor), _no_webhook(id))
        logs.webhook_changed(id, what="removed", key=request.actor.name)
        return {"object": "webhook", "id": str(id), "deleted": True}

    @_operation(
        "POST /webhooks/{id}/signing-secret/rotate",
        "The new secret. Requests are signed with both secrets for 24 hours.",
        {"rotated": {**schema.CHANGED, "signing_secret": schema.WITH_SECRET["signing_secret"]}},
        errors=schema.ID_ERRORS,
    )
    async def rotate_webhook_secret(self, request: ApiRequest, id: _WebhookId) -> schema.RotatedWebhook:
        """Rotate the signing secret of a webhook."""
        now = self._context.clock.now()
        rotation = Rotation(id, _new_secret(), now, now + SECRET_OVERLAP, by=request.actor)
        found(await self._context.store.rotate_webhook(rotation), _no_webhook(id))
        logs.webhook_changed(id, what="secret rotated", key=request.actor.name)
        return {"object": "webhook", "id": str(id), "signing_secret": rotation.secret}

    @_operation(
        "GET /webhooks/{id}/events",
        "Sent and pending events, newest first.",
        {"one": list_object(schema.WebhookEventList, [schema.EVENT])},
        errors=(*schema.ID_ERRORS, *schema.PAGE_ERRORS),
        links=schema.EVENT_LINKS,
    )
    async def list_webhook_events(self, id: _WebhookId, page: Annotated[PageQuery, Query()]) -> schema.WebhookEventList:
        """List the events of a webhook."""
        webhook = await self._webhook(id)
        events = await self._context.store.deliveries(webhook.id, page.after, page.limit + 1)
        shown = map(view.event, events[: page.limit])
        return list_object(schema.WebhookEventList, shown, has_more=len(events) > page.limit)

    @_operation(
        "GET /webhooks/{id}/events/{event_id}",
        "The event with its payload.",
        {"sent": schema.EVENT_WITH_PAYLOAD},
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def get_webhook_event(self, id: _WebhookId, event_id: _EventId) -> view.WebhookEventWithPayload:
        """Get an event of a webhook."""
        return view.event_with_payload(await self._delivery(id, event_id))

    @_operation(
        "GET /webhooks/{id}/events/{event_id}/attempts",
        "The latest delivery attempts, newest first.",
        {"one": list_object(schema.WebhookTryList, [schema.TRY])},
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def list_webhook_event_tries(
        self, id: _WebhookId, event_id: _EventId, query: Annotated[ListQuery, Query()]
    ) -> schema.WebhookTryList:
        """List the delivery attempts of an event."""
        return list_part(schema.WebhookTryList, view.attempts(await self._delivery(id, event_id)), query)

    @_operation(
        "POST /webhooks/{id}/events/{event_id}/replay",
        "The event is sent again with the same id.",
        {"replayed": {"object": "webhook_event", "id": schema.EVENT["id"]}},
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def replay_webhook_event(
        self, request: ApiRequest, id: _WebhookId, event_id: _EventId
    ) -> schema.ReplayedEvent:
        """Replay an event."""
        now = self._context.clock.now()
        found(await self._context.store.replay(id, event_id, now, by=request.actor), _no_event(id, event_id))
        logs.webhook_changed(id, what="event replayed", key=request.actor.name)
        return {"object": "webhook_event", "id": str(event_id)}

    @_operation(
        "POST /webhooks/{id}/replay",
        "Every failed event since that time is sent again.",
        {"replayed": {**schema.CHANGED, "replayed": 3}},
        requests={"since a time": {"since": "2026-11-24T09:00:00Z"}},
        errors=(*schema.ID_ERRORS, *schema.SINCE_ERRORS),
    )
    async def replay_webhook(self, request: ApiRequest, id: _WebhookId, body: ReplayInput) -> schema.ReplayedWebhook:
        """Replay the failed events of a webhook."""
        webhook = await self._webhook(id)
        now = self._context.clock.now()
        count = await self._context.store.replay_failed(webhook.id, body.since, now, by=request.actor)
        logs.webhook_changed(webhook.id, what=f"{count} events replayed", key=request.actor.name)
        return {"object": "webhook", "id": str(webhook.id), "replayed": count}

    def _check_endpoint(self, url: str) -> None:
        check_endpoint(url, private=self._context.allow_private_webhooks)

    async def _webhook(self, id: UUID) -> Webhook:
        return found(await self._context.store.webhook(id), _no_webhook(id))

    async def _delivery(self, id: UUID, event_id: UUID) -> Delivery:
        return found(await self._context.store.delivery(id, event_id), _no_event(id, event_id))


def _new_secret() -> str:
    """Return a new signing secret in the form of Standard Webhooks: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _no_webhook(id: UUID) -> NotFound:
    return NotFound(f"There is no webhook {id}.")


def _no_event(id: UUID, event_id: UUID) -> NotFound:
    return NotFound(f"The webhook {id} has no event {event_id}.")
