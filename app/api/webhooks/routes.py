"""The routes under /webhooks, in the shape of Resend's, all of them for administrators. Nothing is posted here."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import Response

from app import logs
from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.http import body
from app.api.http.headers import json_ok
from app.api.http.memory_budget import UNCHARGED_SIZE
from app.api.openapi.operation import Answer, Body, RequiredPermission, Tag, operation
from app.api.problems.problem import FieldError, Invalid, NotFound
from app.api.webhooks import fields, view
from app.api.webhooks import schema as told
from app.store.keys.records import Key
from app.store.webhooks.records import Delivery, Revision, Rotation, Secret, Webhook

OVERLAP = 86_400.0  # seconds for which the old secret signs beside a new one
MOST = 50  # webhooks: each event is written once for each of them


_told = partial(operation, tag=Tag.WEBHOOKS, needs=RequiredPermission.ADMINISTRATOR)


class WebhookRoutes:
    """Who is told what, and what became of it."""

    def __init__(self, edge: ApiContext, keyring: Authenticator) -> None:
        self._edge = edge
        self._keyring = keyring

    @_told(
        "createWebhook",
        "Tell an endpoint of events",
        body=Body(told.WebhookInput, {"an endpoint": told.INPUT}),
        answer=Answer("It hears of what happens from now on.", view.WebhookWithSecret, {"created": told.WITH_SECRET}),
        errors=(*told.OF_INPUT, told.MISSING),
        links=told.next_steps("$response.body#/id"),
    )
    async def create(self, request: Request) -> Response:
        """POST /webhooks: it hears of what happens from now on."""
        key, given = await self._asked(request)
        endpoint = fields.required(given, "endpoint", self._endpoint)
        events = fields.required(given, "events", fields.events)
        if len(await self._edge.store.webhooks()) >= MOST:
            raise Invalid(
                [FieldError("", f"There are {MOST} webhooks already, and more would cost every email. Remove one.")]
            )
        secret = Secret(fields.new_secret())
        webhook = Webhook(uuid4(), endpoint, events, self._edge.clock.now(), (secret,))
        await self._edge.store.create_webhook(webhook)
        logs.webhook_changed(webhook.id, what="created", key=key.name)
        return _answer(view.with_secret(webhook))

    @_told(
        "listWebhooks",
        "List the webhooks",
        answer=Answer("All of them.", told.WebhookList, {"one": told.listed(told.WEBHOOK)}),
    )
    async def list_(self, request: Request) -> Response:
        """GET /webhooks: the newest first."""
        await self._keyring.full_access(request)
        return _answer(view.listed(map(view.webhook, await self._edge.store.webhooks())))

    @_told(
        "getWebhook",
        "See a webhook",
        parameters=(told.ID_PART,),
        answer=Answer("With its secret.", view.WebhookWithSecret, {"enabled": told.WITH_SECRET}),
        errors=told.OF_ONE,
    )
    async def show(self, request: Request) -> Response:
        """GET /webhooks/{id}: with its secret."""
        await self._keyring.full_access(request)
        return _answer(view.with_secret(await self._webhook(request)))

    @_told(
        "reviseWebhook",
        "Change a webhook",
        parameters=(told.ID_PART,),
        body=Body(told.WebhookRevision, {"disable it": {"status": "disabled"}}, required=False),
        answer=Answer("It was changed.", told.RevisedWebhook, {"changed": told.CHANGED}),
        errors=(*told.OF_ONE, *told.OF_INPUT),
        description="What waits for a disabled endpoint goes when it is enabled again.",
    )
    async def revise(self, request: Request) -> Response:
        """PATCH /webhooks/{id}: another endpoint, other events, enabled or disabled."""
        key, given = await self._asked(request)
        revision = Revision(
            _id(request),
            fields.optional(given, "endpoint", self._endpoint),
            fields.optional(given, "events", fields.events),
            fields.optional(given, "status", fields.status),
        )
        if not await self._edge.store.revise_webhook(revision):
            raise _no_webhook(request)
        logs.webhook_changed(revision.id, what="revised", key=key.name)
        return _answer({"object": "webhook", "id": str(revision.id)})

    @_told(
        "removeWebhook",
        "Remove a webhook",
        parameters=(told.ID_PART,),
        answer=Answer("It is gone.", told.RemovedWebhook, {"removed": {**told.CHANGED, "deleted": True}}),
        errors=told.OF_ONE,
    )
    async def remove(self, request: Request) -> Response:
        """DELETE /webhooks/{id}."""
        key = await self._keyring.full_access(request)
        id_ = _id(request)
        if not await self._edge.store.remove_webhook(id_):
            raise _no_webhook(request)
        logs.webhook_changed(id_, what="removed", key=key.name)
        return _answer({"object": "webhook", "id": str(id_), "deleted": True})

    @_told(
        "rotateWebhookSecret",
        "Give a webhook a new secret",
        parameters=(told.ID_PART,),
        answer=Answer(
            "For a day both secrets sign.",
            told.RotatedWebhook,
            {"rotated": {**told.CHANGED, "signing_secret": told.WITH_SECRET["signing_secret"]}},
        ),
        errors=told.OF_ONE,
    )
    async def rotate(self, request: Request) -> Response:
        """POST /webhooks/{id}/signing-secret/rotate: for a day both secrets sign."""
        key = await self._keyring.full_access(request)
        now = self._edge.clock.now()
        rotation = Rotation(_id(request), fields.new_secret(), now, now + OVERLAP)
        if not await self._edge.store.rotate_webhook(rotation):
            raise _no_webhook(request)
        logs.webhook_changed(rotation.id, what="secret rotated", key=key.name)
        return _answer({"object": "webhook", "id": str(rotation.id), "signing_secret": rotation.secret})

    @_told(
        "listWebhookEvents",
        "List the events of a webhook",
        parameters=(told.ID_PART, *told.PAGE),
        answer=Answer(
            "What it was told and is to be told, the newest first.",
            told.WebhookEventList,
            {"one": told.listed(told.EVENT)},
        ),
        errors=(*told.OF_ONE, *told.OF_PAGE),
        links=told.OF_LIST,
    )
    async def events(self, request: Request) -> Response:
        """GET /webhooks/{id}/events: what it was told and is to be told, the newest first."""
        await self._keyring.full_access(request)
        limit = fields.limit(request.query_params.get("limit"))
        after = fields.after(request.query_params.get("after"))
        webhook = await self._webhook(request)
        found = await self._edge.store.deliveries(webhook.id, after, limit + 1)
        return _answer(view.listed(map(view.event, found[:limit]), has_more=len(found) > limit))

    @_told(
        "getWebhookEvent",
        "See an event",
        parameters=(told.ID_PART, told.EVENT_PART),
        answer=Answer("With its payload.", view.WholeWebhookEvent, {"sent": told.WHOLE_EVENT}),
        errors=(*told.OF_ONE, *told.OF_EVENT),
    )
    async def event(self, request: Request) -> Response:
        """GET /webhooks/{id}/events/{event_id}: with its payload."""
        await self._keyring.full_access(request)
        return _answer(view.whole_event(await self._delivery(request)))

    @_told(
        "listWebhookEventTries",
        "See how an event was told",
        parameters=(told.ID_PART, told.EVENT_PART),
        answer=Answer("How the last tries ended.", told.WebhookTryList, {"one": told.listed(told.TRY)}),
        errors=(*told.OF_ONE, *told.OF_EVENT),
    )
    async def attempts(self, request: Request) -> Response:
        """GET /webhooks/{id}/events/{event_id}/attempts: how the last tries ended."""
        await self._keyring.full_access(request)
        return _answer(view.listed(view.attempts(await self._delivery(request))))

    @_told(
        "replayWebhookEvent",
        "Tell of an event again",
        parameters=(told.ID_PART, told.EVENT_PART),
        answer=Answer(
            "It is told again, under the same id.",
            told.ReplayedEvent,
            {"replayed": {"object": "webhook_event", "id": told.EVENT["id"]}},
        ),
        errors=(*told.OF_ONE, *told.OF_EVENT),
    )
    async def replay(self, request: Request) -> Response:
        """POST /webhooks/{id}/events/{event_id}/replay: it is told again, under the same id."""
        key = await self._keyring.full_access(request)
        id_, event = _id(request), _event(request)
        if not await self._edge.store.replay(id_, event, self._edge.clock.now()):
            raise _no_event(request)
        logs.webhook_changed(id_, what="event replayed", key=key.name)
        return _answer({"object": "webhook_event", "id": str(event)})

    @_told(
        "replayWebhook",
        "Tell again of what was given up",
        parameters=(told.ID_PART,),
        body=Body(told.ReplayInput, {"since a moment": {"since": "2026-11-24T09:00:00Z"}}),
        answer=Answer(
            "Every event since then that was given up is told again.",
            told.ReplayedWebhook,
            {"replayed": {**told.CHANGED, "replayed": 3}},
        ),
        errors=(*told.OF_ONE, *told.OF_SINCE),
    )
    async def replay_failed(self, request: Request) -> Response:
        """POST /webhooks/{id}/replay: every event since a moment that was given up is told again."""
        key, given = await self._asked(request)
        since = fields.required(given, "since", fields.epoch_seconds)
        webhook = await self._webhook(request)
        count = await self._edge.store.replay_failed(webhook.id, since, self._edge.clock.now())
        logs.webhook_changed(webhook.id, what=f"{count} events replayed", key=key.name)
        return _answer({"object": "webhook", "id": str(webhook.id), "replayed": count})

    async def _asked(self, request: Request) -> tuple[Key, dict[str, Any]]:
        key = await self._keyring.full_access(request)
        return key, fields.members(await body.read(request, self._edge.limits, UNCHARGED_SIZE))

    @property
    def _endpoint(self) -> Any:
        return partial(fields.endpoint, private=self._edge.allow_private_webhooks)

    async def _webhook(self, request: Request) -> Webhook:
        webhook = await self._edge.store.webhook(_id(request))
        if webhook is None:
            raise _no_webhook(request)
        return webhook

    async def _delivery(self, request: Request) -> Delivery:
        delivery = await self._edge.store.delivery(_id(request), _event(request))
        if delivery is None:
            raise _no_event(request)
        return delivery


def _id(request: Request) -> UUID:
    return fields.uuid("id", request.path_params["id"])


def _event(request: Request) -> UUID:
    return fields.uuid("event_id", request.path_params["event_id"])


def _no_webhook(request: Request) -> NotFound:
    return NotFound(f"There is no webhook {request.path_params['id']}.")


def _no_event(request: Request) -> NotFound:
    return NotFound(f"The webhook {request.path_params['id']} was told of no event {request.path_params['event_id']}.")


def _answer(content: Mapping[str, Any]) -> Response:
    return json_ok(json.dumps(content).encode())
