"""What the routes under /webhooks say of themselves: the types of their bodies and answers, with examples."""

from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.openapi.errors import invalid
from app.api.openapi.operation import Link, Parameter, ParameterIn
from app.api.openapi.types import AT, EVENT_ID, ID, LATER, WEBHOOK_ID, Id, describe
from app.api.problems.problem import ErrorName, NotFound
from app.api.webhooks.view import WebhookEvent, WebhookObject, WebhookTry
from app.mail.webhook.rules import MAX_URL, UNSUPPORTED_EVENTS, EventType
from app.store.webhooks.records import WebhookStatus

T = TypeVar("T")

_Url = Annotated[str, WithJsonSchema({"type": "string", "format": "public-url", "maxLength": MAX_URL, "minLength": 1})]
_Event = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "enum": [*EventType, *sorted(UNSUPPORTED_EVENTS)],
            "description": "Those that only a delivering server knows may be asked for and never come.",
        }
    ),
]
_Events = Annotated[list[_Event], Field(min_length=1)]
_ENDPOINT = "https, and no address that is not public, unless the settings allow those; no user and no fragment."


class WebhookInput(TypedDict):
    """An endpoint, and what it is to be told."""

    endpoint: Annotated[_Url, describe(_ENDPOINT)]
    events: _Events


class WebhookRevision(TypedDict):
    """What is to be changed; what is left out or null stays as it is."""

    endpoint: NotRequired[Annotated[_Url | None, describe(_ENDPOINT)]]
    events: NotRequired[_Events | None]
    status: NotRequired[WebhookStatus | None]


class ReplayInput(TypedDict):
    """From when on."""

    since: Annotated[
        str, WithJsonSchema({"type": "string", "format": "date-time"}), describe("Without an offset it is UTC.")
    ]


class _Webhook(TypedDict):
    object: Literal["webhook"]
    id: Id


class RevisedWebhook(_Webhook):
    """It was changed."""


class RemovedWebhook(_Webhook):
    """It is gone."""

    deleted: Literal[True]


class RotatedWebhook(_Webhook):
    """It has a new secret."""

    signing_secret: str


class ReplayedWebhook(_Webhook):
    """It is told again."""

    replayed: Annotated[int, describe("How many events.")]


class ReplayedEvent(TypedDict):
    """It is told again."""

    object: Literal["webhook_event"]
    id: Id


class _List(TypedDict):
    object: Literal["list"]
    has_more: bool


class WebhookList(_List):
    """All webhooks, the newest first."""

    data: list[WebhookObject]


class WebhookEventList(_List):
    """Some events, the newest first."""

    data: list[WebhookEvent]


class WebhookTryList(_List):
    """The last tries, the newest first."""

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
WHOLE_EVENT = {
    "object": "webhook_event",
    **EVENT,
    "next_attempt_at": None,
    "payload": {"type": "email.sent", "created_at": AT, "timestamp": AT, "data": {"email_id": ID}},
}
TRY = {"id": f"{EVENT_ID}-1", "http_status_code": 200, "response": "ok", "sent_at": LATER}


_UUID = "It must be a UUID, as this relay gave it out."
ID_PARAMETER = Parameter("id", Id, "The id of the webhook.", location=ParameterIn.PATH)
EVENT_PARAMETER = Parameter("event_id", Id, "The id of the event.", location=ParameterIn.PATH)
PAGE_PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Events on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an event: those behind it in the list.", EVENT_ID),
)
PAGE_ERRORS = (invalid("limit", "It must be a whole number from 1 to 100."),)
ID_ERRORS = (invalid("id", _UUID, ErrorName.INVALID_PARAMETER), NotFound(f"There is no webhook {WEBHOOK_ID}."))
EVENT_ERRORS = (
    invalid("event_id", _UUID, ErrorName.INVALID_PARAMETER),
    NotFound(f"The webhook {WEBHOOK_ID} was told of no event {EVENT_ID}."),
)
INPUT_ERRORS = (
    invalid("endpoint", "It must be a string, not a number."),
    invalid(
        "endpoint",
        "It must begin with https://; plain http is for private addresses, which are not allowed.",
        reason="endpoint_not_allowed",
    ),
)
MISSING_ERROR = invalid("events", "It is missing; give it.", ErrorName.MISSING_REQUIRED_FIELD)
SINCE_ERRORS = (
    invalid("since", "It must be a date and time such as 2026-11-24T09:00:00Z."),
    invalid("since", "It is missing; give it.", ErrorName.MISSING_REQUIRED_FIELD),
)

_OF_EVENT = {"id": "$request.path.id", "event_id": "$response.body#/data/0/id"}
EVENT_LINKS = {
    name: Link(name, _OF_EVENT) for name in ("getWebhookEvent", "listWebhookEventTries", "replayWebhookEvent")
}


def next_steps(id: str) -> dict[str, Link]:
    """What can be done with a webhook whose id is at this place of an answer."""
    operations = ("getWebhook", "reviseWebhook", "rotateWebhookSecret", "replayWebhook", "listWebhookEvents")
    return {operation: Link(operation, {"id": id}) for operation in (*operations, "removeWebhook")}
