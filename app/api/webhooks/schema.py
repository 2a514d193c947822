"""OpenAPI types of responses, error samples, examples and links of the routes under /webhooks."""

from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from app.api.http.params import INVALID_LIMIT, INVALID_UUID, MISSING_MEMBER, Page
from app.api.openapi.email_samples import SENT
from app.api.openapi.errors import invalid
from app.api.openapi.operation import links
from app.api.openapi.types import AT, EVENT_ID, ID, LATER, WEBHOOK_ID, Id, describe
from app.api.problems.problem import ErrorName, NotFound
from app.api.webhooks.input import INVALID_SINCE
from app.api.webhooks.view import WebhookEventObject, WebhookObject, WebhookTry


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


INPUT = {"endpoint": "https://shop.contoso.com/hooks/email", "events": ["email.sent", "email.failed"]}
WEBHOOK: dict[str, Any] = {
    "object": "webhook",
    "id": WEBHOOK_ID,
    "created_at": AT,
    "status": "enabled",
    **INPUT,
    "never_sent": [],
    "disabled_reason": None,
}
WITH_SECRET = {**WEBHOOK, "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
CHANGED = {"object": "webhook", "id": WEBHOOK_ID}
EVENT = {"id": EVENT_ID, "type": "email.sent", "created_at": AT, "status": "success"}
EVENT_WITH_PAYLOAD = {
    "object": "webhook_event",
    **EVENT,
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
TRY = {"id": f"{EVENT_ID}-1", "http_status_code": 200, "response": "ok", "sent_at": LATER}

PAGE_ERRORS = (invalid("limit", INVALID_LIMIT),)
ID_ERRORS = (invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER), NotFound(f"There is no webhook {WEBHOOK_ID}."))
EVENT_ERRORS = (
    invalid("event_id", INVALID_UUID, ErrorName.INVALID_PARAMETER),
    NotFound(f"The webhook {WEBHOOK_ID} has no event {EVENT_ID}."),
)
INPUT_ERRORS = (
    invalid("endpoint", "It must be a string, not a number."),
    invalid(
        "endpoint",
        "It must begin with https://; plain http is for private addresses, which are not allowed.",
        reason="endpoint_not_allowed",
    ),
)
MISSING_ERROR = invalid("events", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD)
SINCE_ERRORS = (
    invalid("since", INVALID_SINCE),
    invalid("since", MISSING_MEMBER, ErrorName.MISSING_REQUIRED_FIELD),
)

LINKS = links(
    {"id": "$response.body#/id"},
    *("getWebhook", "reviseWebhook", "rotateWebhookSecret", "replayWebhook", "listWebhookEvents", "removeWebhook"),
)
EVENT_LINKS = links(
    {"id": "$request.path.id", "event_id": "$response.body#/data/0/id"},
    *("getWebhookEvent", "listWebhookEventTries", "replayWebhookEvent"),
)
