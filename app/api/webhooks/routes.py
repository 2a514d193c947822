"""Routes under /webhooks, with the paths and members of Resend's. All require full access."""

from functools import partial
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from app import logs
from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http import body, params
from app.api.http.headers import json_object, path_id
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.operation import Answer, Body, RequiredPermission, Tag, operation
from app.api.problems.problem import FieldError, Invalid, NotFound
from app.api.webhooks import fields, schema, view
from app.store.keys.records import Key
from app.store.webhooks.records import Delivery, Revision, Rotation, Secret, Webhook

SECRET_OVERLAP = 86_400.0  # seconds for which the old secret signs beside a new one
MAX_WEBHOOKS = 50  # each event is stored once per webhook
_TOO_MANY_WEBHOOKS = f"There are already {MAX_WEBHOOKS} webhooks, which is the maximum. Remove one first."

_operation = partial(operation, tag=Tag.WEBHOOKS, needs=RequiredPermission.FULL_ACCESS)


class WebhookRoutes:
    """Create, change, rotate and remove webhooks; list and replay their events."""

    def __init__(self, context: ApiContext, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator

    @_operation(
        "createWebhook",
        "Create a webhook",
        body=Body(schema.WebhookInput, {"an endpoint": schema.INPUT}),
        answer=Answer(
            "The webhook. It receives events that occur from now on.",
            view.WebhookWithSecret,
            {"created": schema.WITH_SECRET},
        ),
        errors=(*schema.INPUT_ERRORS, schema.MISSING_ERROR),
        links=schema.next_steps("$response.body#/id"),
    )
    async def create(self, request: Request) -> Response:
        """POST /webhooks. Events that occurred before are not sent."""
        key, given = await self._asked(request)
        endpoint = params.required(given, "endpoint", self._endpoint)
        events = params.required(given, "events", fields.events)
        if len(await self._context.store.webhooks()) >= MAX_WEBHOOKS:
            raise Invalid([FieldError("", _TOO_MANY_WEBHOOKS)])
        secret = Secret(fields.new_secret())
        webhook = Webhook(uuid4(), endpoint, events, self._context.clock.now(), (secret,))
        await self._context.store.create_webhook(webhook)
        logs.webhook_changed(webhook.id, what="created", key=key.name)
        return json_object(view.with_secret(webhook))

    @_operation(
        "listWebhooks",
        "List the webhooks",
        answer=Answer("All webhooks, newest first.", schema.WebhookList, {"one": params.list_object([schema.WEBHOOK])}),
    )
    async def list_(self, request: Request) -> Response:
        """GET /webhooks, newest first."""
        await self._authenticator.full_access(request)
        return json_object(params.list_object(map(view.webhook, await self._context.store.webhooks())))

    @_operation(
        "getWebhook",
        "Get a webhook",
        parameters=(schema.ID_PARAMETER,),
        answer=Answer("The webhook with its signing secret.", view.WebhookWithSecret, {"enabled": schema.WITH_SECRET}),
        errors=schema.ID_ERRORS,
    )
    async def show(self, request: Request) -> Response:
        """GET /webhooks/{id}, with the signing secret."""
        await self._authenticator.full_access(request)
        return json_object(view.with_secret(await self._webhook(request)))

    @_operation(
        "reviseWebhook",
        "Change a webhook",
        parameters=(schema.ID_PARAMETER,),
        body=Body(schema.WebhookRevision, {"disable it": {"status": "disabled"}}, required=False),
        answer=Answer("The webhook was changed.", schema.RevisedWebhook, {"changed": schema.CHANGED}),
        errors=(*schema.ID_ERRORS, *schema.INPUT_ERRORS),
        description="Pending events of a disabled webhook are sent when it is enabled again.",
    )
    async def revise(self, request: Request) -> Response:
        """PATCH /webhooks/{id}: change the endpoint, the events or the status."""
        key, given = await self._asked(request)
        revision = Revision(
            path_id(request),
            params.optional(given, "endpoint", self._endpoint),
            params.optional(given, "events", fields.events),
            params.optional(given, "status", fields.status),
        )
        if not await self._context.store.revise_webhook(revision):
            raise _no_webhook(request)
        logs.webhook_changed(revision.id, what="revised", key=key.name)
        return json_object({"object": "webhook", "id": str(revision.id)})

    @_operation(
        "removeWebhook",
        "Remove a webhook",
        parameters=(schema.ID_PARAMETER,),
        answer=Answer(
            "The webhook was removed.", schema.RemovedWebhook, {"removed": {**schema.CHANGED, "deleted": True}}
        ),
        errors=schema.ID_ERRORS,
    )
    async def remove(self, request: Request) -> Response:
        """DELETE /webhooks/{id}."""
        key = await self._authenticator.full_access(request)
        id_ = path_id(request)
        if not await self._context.store.remove_webhook(id_):
            raise _no_webhook(request)
        logs.webhook_changed(id_, what="removed", key=key.name)
        return json_object({"object": "webhook", "id": str(id_), "deleted": True})

    @_operation(
        "rotateWebhookSecret",
        "Rotate the signing secret of a webhook",
        parameters=(schema.ID_PARAMETER,),
        answer=Answer(
            "The new secret. Requests are signed with both secrets for 24 hours.",
            schema.RotatedWebhook,
            {"rotated": {**schema.CHANGED, "signing_secret": schema.WITH_SECRET["signing_secret"]}},
        ),
        errors=schema.ID_ERRORS,
    )
    async def rotate(self, request: Request) -> Response:
        """POST /webhooks/{id}/signing-secret/rotate. Both secrets sign for 24 hours."""
        key = await self._authenticator.full_access(request)
        now = self._context.clock.now()
        rotation = Rotation(path_id(request), fields.new_secret(), now, now + SECRET_OVERLAP)
        if not await self._context.store.rotate_webhook(rotation):
            raise _no_webhook(request)
        logs.webhook_changed(rotation.id, what="secret rotated", key=key.name)
        return json_object({"object": "webhook", "id": str(rotation.id), "signing_secret": rotation.secret})

    @_operation(
        "listWebhookEvents",
        "List the events of a webhook",
        parameters=(schema.ID_PARAMETER, *schema.PAGE_PARAMETERS),
        answer=Answer(
            "Sent and pending events, newest first.",
            schema.WebhookEventList,
            {"one": params.list_object([schema.EVENT])},
        ),
        errors=(*schema.ID_ERRORS, *schema.PAGE_ERRORS),
        links=schema.EVENT_LINKS,
    )
    async def events(self, request: Request) -> Response:
        """GET /webhooks/{id}/events: sent and pending events, newest first."""
        await self._authenticator.full_access(request)
        limit, after = params.page(request.query_params)
        webhook = await self._webhook(request)
        found = await self._context.store.deliveries(webhook.id, after, limit + 1)
        return json_object(params.list_object(map(view.event, found[:limit]), has_more=len(found) > limit))

    @_operation(
        "getWebhookEvent",
        "Get an event of a webhook",
        parameters=(schema.ID_PARAMETER, schema.EVENT_PARAMETER),
        answer=Answer("The event with its payload.", view.WholeWebhookEvent, {"sent": schema.WHOLE_EVENT}),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def event(self, request: Request) -> Response:
        """GET /webhooks/{id}/events/{event_id}, with the payload."""
        await self._authenticator.full_access(request)
        return json_object(view.whole_event(await self._delivery(request)))

    @_operation(
        "listWebhookEventTries",
        "List the delivery attempts of an event",
        parameters=(schema.ID_PARAMETER, schema.EVENT_PARAMETER),
        answer=Answer(
            "The latest delivery attempts, newest first.",
            schema.WebhookTryList,
            {"one": params.list_object([schema.TRY])},
        ),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def attempts(self, request: Request) -> Response:
        """GET /webhooks/{id}/events/{event_id}/attempts: the latest delivery attempts."""
        await self._authenticator.full_access(request)
        return json_object(params.list_object(view.attempts(await self._delivery(request))))

    @_operation(
        "replayWebhookEvent",
        "Replay an event",
        parameters=(schema.ID_PARAMETER, schema.EVENT_PARAMETER),
        answer=Answer(
            "The event is sent again with the same id.",
            schema.ReplayedEvent,
            {"replayed": {"object": "webhook_event", "id": schema.EVENT["id"]}},
        ),
        errors=(*schema.ID_ERRORS, *schema.EVENT_ERRORS),
    )
    async def replay(self, request: Request) -> Response:
        """POST /webhooks/{id}/events/{event_id}/replay: send the event again with the same id."""
        key = await self._authenticator.full_access(request)
        id_, event = path_id(request), path_id(request, "event_id")
        if not await self._context.store.replay(id_, event, self._context.clock.now()):
            raise _no_event(request)
        logs.webhook_changed(id_, what="event replayed", key=key.name)
        return json_object({"object": "webhook_event", "id": str(event)})

    @_operation(
        "replayWebhook",
        "Replay the failed events of a webhook",
        parameters=(schema.ID_PARAMETER,),
        body=Body(schema.ReplayInput, {"since a time": {"since": "2026-11-24T09:00:00Z"}}),
        answer=Answer(
            "Every failed event since that time is sent again.",
            schema.ReplayedWebhook,
            {"replayed": {**schema.CHANGED, "replayed": 3}},
        ),
        errors=(*schema.ID_ERRORS, *schema.SINCE_ERRORS),
    )
    async def replay_failed(self, request: Request) -> Response:
        """POST /webhooks/{id}/replay: send every failed event since a time again."""
        key, given = await self._asked(request)
        since = params.required(given, "since", fields.epoch_seconds)
        webhook = await self._webhook(request)
        count = await self._context.store.replay_failed(webhook.id, since, self._context.clock.now())
        logs.webhook_changed(webhook.id, what=f"{count} events replayed", key=key.name)
        return json_object({"object": "webhook", "id": str(webhook.id), "replayed": count})

    async def _asked(self, request: Request) -> tuple[Key, dict[str, Any]]:
        key = await self._authenticator.full_access(request)
        return key, params.json_members(await body.read(request, self._context.limits, UNCHARGED_SIZE))

    @property
    def _endpoint(self) -> Any:
        return partial(fields.endpoint, private=self._context.allow_private_webhooks)

    async def _webhook(self, request: Request) -> Webhook:
        webhook = await self._context.store.webhook(path_id(request))
        if webhook is None:
            raise _no_webhook(request)
        return webhook

    async def _delivery(self, request: Request) -> Delivery:
        delivery = await self._context.store.delivery(path_id(request), path_id(request, "event_id"))
        if delivery is None:
            raise _no_event(request)
        return delivery


def _no_webhook(request: Request) -> NotFound:
    return NotFound(f"There is no webhook {request.path_params['id']}.")


def _no_event(request: Request) -> NotFound:
    return NotFound(f"The webhook {request.path_params['id']} has no event {request.path_params['event_id']}.")
