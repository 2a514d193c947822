"""OpenAPI types, parameters, error samples and examples of the routes under /webhooks."""

from typing import Annotated, Any, Literal, NotRequired, TypeVar

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.http.params import INVALID_LIMIT, INVALID_UUID, MISSING_MEMBER
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Link, Parameter, ParameterIn
from app.api.openapi.types import AT, EVENT_ID, ID, LATER, WEBHOOK_ID, Id, describe
from app.api.problems.problem import ErrorName, NotFound
from app.api.webhooks.fields import INVALID_SINCE
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
            "description": "Events that only the recipient's server can observe are accepted but never sent.",
        }
    ),
]
_Events = Annotated[list[_Event], Field(min_length=1)]
_ENDPOINT = (
    "An https URL with a public address, without user and fragment. POSTERN_WEBHOOK_PRIVATE_ADDRESSES also allows "
    "http and private addresses."
)


class WebhookInput(TypedDict):
    """An endpoint and the types of events that it receives."""

    endpoint: Annotated[_Url, describe(_ENDPOINT)]
    events: _Events


class WebhookRevision(TypedDict):
    """Changes of a webhook. A member that is absent or null is not changed."""

    endpoint: NotRequired[Annotated[_Url | None, describe(_ENDPOINT)]]
    events: NotRequired[_Events | None]
    status: NotRequired[WebhookStatus | None]


class ReplayInput(TypedDict):
    """Start time of a replay."""

    since: Annotated[
        str, WithJsonSchema({"type": "string", "format": "date-time"}), describe("ISO 8601; UTC if it has no offset.")
    ]


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


class _List(TypedDict):
    object: Literal["list"]
    has_more: bool


class WebhookList(_List):
    """All webhooks, newest first."""

    data: list[WebhookObject]


class WebhookEventList(_List):
    """A page of events, newest first."""

    data: list[WebhookEvent]


class WebhookTryList(_List):
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
WHOLE_EVENT = {
    "object": "webhook_event",
    **EVENT,
    "next_attempt_at": None,
    "payload": {"type": "email.sent", "created_at": AT, "timestamp": AT, "data": {"email_id": ID}},
}
TRY = {"id": f"{EVENT_ID}-1", "http_status_code": 200, "response": "ok", "sent_at": LATER}


ID_PARAMETER = Parameter("id", Id, "The id of the webhook.", location=ParameterIn.PATH)
EVENT_PARAMETER = Parameter("event_id", Id, "The id of the event.", location=ParameterIn.PATH)
PAGE_PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Events on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an event. The page begins after it.", EVENT_ID),
)
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

_OF_EVENT = {"id": "$request.path.id", "event_id": "$response.body#/data/0/id"}
EVENT_LINKS = {
    name: Link(name, _OF_EVENT) for name in ("getWebhookEvent", "listWebhookEventTries", "replayWebhookEvent")
}


def next_steps(id: str) -> dict[str, Link]:
    """Return the links from a response whose webhook id is at `id`, a runtime expression of OpenAPI."""
    operations = ("getWebhook", "reviseWebhook", "rotateWebhookSecret", "replayWebhook", "listWebhookEvents")
    return {operation: Link(operation, {"id": id}) for operation in (*operations, "removeWebhook")}
