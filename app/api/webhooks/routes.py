"""Routes under /webhooks, with the paths and members of Resend's. All require full access."""

import base64
import secrets
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID, uuid4

from fastapi import Path, Query
from typing_extensions import TypedDict

from app import logs
from app.api.context import ApiContext
from app.api.http.api_route import ApiRequest
from app.api.http.params import (
    INVALID_LIMIT,
    INVALID_UUID,
    MISSING_MEMBER,
    NO_ENTRY,
    ListQuery,
    Page,
    PageQuery,
    PathId,
    list_object,
    list_part,
)
from app.api.openapi.email_samples import SENT
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, links, operation
from app.api.openapi.types import AT, EVENT_ID, ID, LATER, WEBHOOK_ID, Id, describe
from app.api.problems.problem import ErrorName, FieldError, Invalid, NotFound, found
from app.api.webhooks import view
from app.api.webhooks.input import INVALID_SINCE, ReplayInput, WebhookInput, WebhookRevision, check_endpoint
from app.api.webhooks.view import WebhookEventObject, WebhookObject, WebhookTry
from app.mail.times import DAY
from app.store.webhooks.records import Delivery, Revision, Rotation, Secret, Webhook

_INPUT = {"endpoint": "https://shop.contoso.com/hooks/email", "events": ["email.sent", "email.failed"]}
_WEBHOOK: dict[str, Any] = {
    "object": "webhook",
    "id": WEBHOOK_ID,
    "created_at": AT,
    "status": "enabled",
    **_INPUT,
    "never_sent": [],
    "disabled_reason": None,
}
_WITH_SECRET = {**_WEBHOOK, "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
_CHANGED = {"object": "webhook", "id": WEBHOOK_ID}
_EVENT = {"id": EVENT_ID, "type": "email.sent", "created_at": AT, "status": "success"}
_EVENT_WITH_PAYLOAD = {
    "object": "webhook_event",
    **_EVENT,
    "next_attempt_at": None,
    "payload": {
        "type": "email.sent",
        "created_at": LATER,
        "timestamp": LATER,
        "data": {
            "email_id": ID,
            **{name: SENT[name] for name in ("message_id", "created_at", "from", "to", "subject")},
            "tags": {"category": "receipt"},
            "headers": [],
            "relay": {
                **{name: SENT["relay"][name] for name in ("state", "mailbox", "possible_duplicate", "recipients")},
                "attempts": 1,
                "explanation": SENT["relay"]["explanation"],
            },
        },
    },
}
_TRY = {"id": f"{EVENT_ID}-1", "http_status_code": 200, "response": "ok", "sent_at": LATER}

_PAGE_ERRORS = (invalid("limit", INVALID_LIMIT),)
_ID_ERRORS = (invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER), NotFound(f"There is no webhook {WEBHOOK_ID}."))
_EVENT_ERRORS = (
    invalid("event_id", INVALID_UUID, ErrorName.INVALID_PARAMETER),
    NotFound(f"The webhook {WEBHOOK_ID} has no event {EVENT_ID}."),
)
_INPUT_ERRORS = (
    invalid("endpoint", "It must be a string, not a number."),
    invalid(
        "endpoint",
        "It must begin with https://; plain http is for private addresses, which are not allowed.",
        reason="endpoint_not_allowed",
    ),
)
_MISSING_ERROR = invalid("events", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD)
_SINCE_ERRORS = (
    invalid("since", INVALID_SINCE),
    invalid("since", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD),
)

_LINKS = links(
    {"id": "$response.body#/id"},
    *("getWebhook", "reviseWebhook", "rotateWebhookSecret", "replayWebhook", "listWebhookEvents", "removeWebhook"),
)
_EVENT_LINKS = links(
    {"id": "$request.path.id", "event_id": "$response.body#/data/0/id"},
    *("getWebhookEvent", "listWebhookEventTries", "replayWebhookEvent"),
)

SECRET_BYTES = 32  # Standard Webhooks requires 24 to 64
SECRET_OVERLAP = DAY  # seconds for which the old secret signs beside a new one
MAX_WEBHOOKS = 50  # each event is stored once per webhook
_TOO_MANY_WEBHOOKS = f"There are already {MAX_WEBHOOKS} webhooks, which is the maximum. Remove one first."

_WebhookId: TypeAlias = Annotated[PathId, Path(description="The id of the webhook.")]
_EventId: TypeAlias = Annotated[PathId, Path(description="The id of the event.")]
_operation = partial(operation, tag=OperationTag.WEBHOOKS, needs=RequiredPermission.FULL_ACCESS)


class _Webhook(TypedDict):
    object: Literal["webhook"]
    id: Id


class RevisedWebhook(_Webhook):
    """The webhook that was changed."""


class RemovedWebhook(_Webhook):
    """The webhook that was removed."""

    deleted: Literal[True]


class RotatedWebhook(_Webhook):
    """The webhook with its new signing secret."""

    signing_secret: str


class ReplayedWebhook(_Webhook):
    """The webhook whose failed events are sent again."""

    replayed: Annotated[int, describe("Number of events.")]


class ReplayedEvent(TypedDict):
    """The event that is sent again."""

    object: Literal["webhook_event"]
    id: Id


class WebhookList(Page):
    """All webhooks, newest first."""

    data: list[WebhookObject]


class WebhookEventList(Page):
    """A page of events, newest first."""

    data: list[WebhookEventObject]


class WebhookTryList(Page):
    """The latest delivery attempts, newest first."""

    data: list[WebhookTry]


class WebhookRoutes:
    """Create, change, rotate and remove webhooks; list and replay their events."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @_operation(
        "POST /webhooks",
        "The webhook. It receives events that occur from now on.",
        {"created": _WITH_SECRET},
        requests={"an endpoint": _INPUT},
        errors=(*_INPUT_ERRORS, _MISSING_ERROR),
        links=_LINKS,
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
        {"one": list_object(WebhookList, [_WEBHOOK])},
        errors=(invalid("limit", INVALID_LIMIT), NotFound(NO_ENTRY.format("after"))),
    )
    async def list_webhooks(self, query: Annotated[ListQuery, Query()]) -> WebhookList:
        """List the webhooks."""
        found = await self._context.store.webhooks()
        return list_part(WebhookList, [view.webhook(record, self._context.never_sent) for record in found], query)

    @_operation(
        "GET /webhooks/{id}",
        "The webhook with its signing secret.",
        {"enabled": _WITH_SECRET},
        errors=_ID_ERRORS,
    )
    async def get_webhook(self, id: _WebhookId) -> view.WebhookWithSecret:
        """Get a webhook."""
        return view.with_secret(await self._webhook(id), self._context.never_sent)

    @_operation(
        "PATCH /webhooks/{id}",
        "The webhook was changed.",
        {"changed": _CHANGED},
        requests={"disable it": {"status": "disabled"}},
        errors=(*_ID_ERRORS, *_INPUT_ERRORS),
    )
    async def revise_webhook(self, request: ApiRequest, id: _WebhookId, body: WebhookRevision) -> RevisedWebhook:
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
        {"removed": {**_CHANGED, "deleted": True}},
        errors=_ID_ERRORS,
    )
    async def remove_webhook(self, request: ApiRequest, id: _WebhookId) -> RemovedWebhook:
        """Remove a webhook."""
        now = self._context.clock.now()
        found(await self._context.store.remove_webhook(id, now, by=request.actor), _no_webhook(id))
        logs.webhook_changed(id, what="removed", key=request.actor.name)
        return {"object": "webhook", "id": str(id), "deleted": True}

    @_operation(
        "POST /webhooks/{id}/signing-secret/rotate",
        "The new secret. Requests are signed with both secrets for 24 hours.",
        {"rotated": {**_CHANGED, "signing_secret": _WITH_SECRET["signing_secret"]}},
        errors=_ID_ERRORS,
    )
    async def rotate_webhook_secret(self, request: ApiRequest, id: _WebhookId) -> RotatedWebhook:
        """Rotate the signing secret of a webhook."""
        now = self._context.clock.now()
        rotation = Rotation(id, _new_secret(), now, now + SECRET_OVERLAP, by=request.actor)
        found(await self._context.store.rotate_webhook(rotation), _no_webhook(id))
        logs.webhook_changed(id, what="secret rotated", key=request.actor.name)
        return {"object": "webhook", "id": str(id), "signing_secret": rotation.secret}

    @_operation(
        "GET /webhooks/{id}/events",
        "Sent and pending events, newest first.",
        {"one": list_object(WebhookEventList, [_EVENT])},
        errors=(*_ID_ERRORS, *_PAGE_ERRORS),
        links=_EVENT_LINKS,
    )
    async def list_webhook_events(self, id: _WebhookId, page: Annotated[PageQuery, Query()]) -> WebhookEventList:
        """List the events of a webhook."""
        webhook = await self._webhook(id)
        events = await self._context.store.deliveries(webhook.id, page.after, page.limit + 1)
        shown = map(view.event, events[: page.limit])
        return list_object(WebhookEventList, shown, has_more=len(events) > page.limit)

    @_operation(
        "GET /webhooks/{id}/events/{event_id}",
        "The event with its payload.",
        {"sent": _EVENT_WITH_PAYLOAD},
        errors=(*_ID_ERRORS, *_EVENT_ERRORS),
    )
    async def get_webhook_event(self, id: _WebhookId, event_id: _EventId) -> view.WebhookEventWithPayload:
        """Get an event of a webhook."""
        return view.event_with_payload(await self._delivery(id, event_id))

    @_operation(
        "GET /webhooks/{id}/events/{event_id}/attempts",
        "The latest delivery attempts, newest first.",
        {"one": list_object(WebhookTryList, [_TRY])},
        errors=(*_ID_ERRORS, *_EVENT_ERRORS),
    )
    async def list_webhook_event_tries(
        self, id: _WebhookId, event_id: _EventId, query: Annotated[ListQuery, Query()]
    ) -> WebhookTryList:
        """List the delivery attempts of an event."""
        return list_part(WebhookTryList, view.attempts(await self._delivery(id, event_id)), query)

    @_operation(
        "POST /webhooks/{id}/events/{event_id}/replay",
        "The event is sent again with the same id.",
        {"replayed": {"object": "webhook_event", "id": _EVENT["id"]}},
        errors=(*_ID_ERRORS, *_EVENT_ERRORS),
    )
    async def replay_webhook_event(self, request: ApiRequest, id: _WebhookId, event_id: _EventId) -> ReplayedEvent:
        """Replay an event."""
        now = self._context.clock.now()
        found(await self._context.store.replay(id, event_id, now, by=request.actor), _no_event(id, event_id))
        logs.webhook_changed(id, what="event replayed", key=request.actor.name)
        return {"object": "webhook_event", "id": str(event_id)}

    @_operation(
        "POST /webhooks/{id}/replay",
        "Every failed event since that time is sent again.",
        {"replayed": {**_CHANGED, "replayed": 3}},
        requests={"since a time": {"since": "2026-11-24T09:00:00Z"}},
        errors=(*_ID_ERRORS, *_SINCE_ERRORS),
    )
    async def replay_webhook(self, request: ApiRequest, id: _WebhookId, body: ReplayInput) -> ReplayedWebhook:
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
