"""OpenAPI types of responses, error samples and examples of the routes under /keys and /audit."""

from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from app.api.api_keys.input import INVALID_OVERLAP, MISSING_NAME
from app.api.api_keys.view import KeyObject
from app.api.http.params import INVALID_UUID, CompleteList, Page
from app.api.openapi.errors import invalid
from app.api.openapi.operation import links
from app.api.openapi.types import AT, EVENT_ID, ID, KEY_ID, LATER, Id, Timestamp, describe
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import ErrorName, NotFound
from app.store.keys.audit_records import Action


class KeyList(CompleteList):
    """All keys, oldest first."""

    data: list[KeyObject]


class RevokedKey(TypedDict):
    """The key that was revoked."""

    object: Literal["key"]
    id: Id
    deleted: Literal[True]


class AuditEntry(TypedDict):
    """An administrative change, a cancellation or a refused send."""

    id: Id
    created_at: Timestamp
    action: Action
    subject: Annotated[
        str,
        describe("The changed key, email or mailbox, or the refused request; of several requests, the first."),
    ]
    actor: Annotated[str, describe("The name of an API key, or `command line`, or `nobody known` without a valid key.")]
    key_id: Annotated[Id | None, describe("The id of the API key.")]
    request_id: str | None
    details: Annotated[dict[str, Any], describe("Old and new values of a change, or the error of a refusal.")]
    times: Annotated[
        int,
        describe(
            "Number of events. Equal refusals and cancellations of a key are combined into one entry per hour.", ge=1
        ),
    ]
    last_at: Timestamp


class AuditPage(Page):
    """A page of entries, newest first."""

    data: list[AuditEntry]


INPUT: dict[str, Any] = {
    "name": "shop",
    "senders": ["*@shop.contoso.com"],
    "lanes": ["urgent", "normal"],
    "messages_per_minute": 60,
    "messages_per_day": 5000,
    "recipients_per_day": 8000,
}
STAGING = {"name": "shop, staging", "redirect_to": "staging@contoso.com"}
KEY: dict[str, Any] = {
    "object": "key",
    "id": KEY_ID,
    "permission": "sending_access",
    "default_sender": None,
    "recipients": [],
    "redirect_to": None,
    "sink": False,
    "disabled": False,
    "created_at": AT,
    "last_used_at": LATER,
    "revoked_at": None,
    "old_secrets_until": [],
    "recipients_per_minute": None,
    "bytes_per_minute": None,
    "bytes_per_day": None,
    "used": {
        "this_minute": 3,
        "today": 214,
        "recipients_this_minute": 5,
        "recipients_today": 371,
        "bytes_this_minute": 14_209,
        "bytes_today": 1_902_114,
    },
    **INPUT,
}
NEW = {**KEY, "last_used_at": None, "key": "pst_ZXhhbXBsZS1vZi1hLXNlY3JldA"}
ROTATED = {**NEW, "last_used_at": LATER, "old_secrets_until": ["2026-11-25T09:00:00.000Z"]}
REVOKED = {"object": "key", "id": KEY_ID, "deleted": True}
ENTRY = {
    "id": EVENT_ID,
    "created_at": AT,
    "action": "key.updated",
    "subject": KEY_ID,
    "actor": "POSTERN_API_KEY",
    "key_id": ID,
    "request_id": "5b0f6d0c3f6f4c1a9f0e7d21",
    "details": {"name": "shop", "messages_per_day": {"before": None, "after": 5000}},
    "times": 1,
    "last_at": AT,
}

NO_KEY = NotFound(f"There is no key {KEY_ID}.")
ID_ERRORS = (invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER), NO_KEY)
INPUT_ERRORS = (
    invalid("lanes", "'express' is not a lane. Use one or more of urgent, normal, bulk."),
    invalid(
        "",
        "Allowed recipients, a redirection and a sink exclude each other. Set one of them and remove the others.",
        reason="policy_conflict",
    ),
)
MISSING_ERROR = invalid("name", MISSING_NAME, ErrorName.MISSING_REQUIRED_FIELD)
ROTATION_ERRORS = (
    KeyRevoked(),
    invalid("overlap", INVALID_OVERLAP),
)
LINKS = links({"id": "$response.body#/id"}, "getKey", "reviseKey", "rotateKey", "revokeKey")
