"""OpenAPI types of responses, error samples, examples and links of the routes under /keys."""

from typing import Any, Literal

from typing_extensions import TypedDict

from app.api.api_keys.input import INVALID_OVERLAP, MISSING_NAME
from app.api.api_keys.view import KeyObject
from app.api.http.params import INVALID_UUID, CompleteList
from app.api.openapi.errors import invalid
from app.api.openapi.operation import links
from app.api.openapi.types import AT, KEY_ID, LATER, Id
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import ErrorName, NotFound


class KeyList(CompleteList):
    """All keys, oldest first."""

    data: list[KeyObject]


class RevokedKey(TypedDict):
    """The key that was revoked."""

    object: Literal["key"]
    id: Id
    deleted: Literal[True]


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
    "ignore_suppressions": [],
    "retry_unseen": False,
    "strict": False,
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
