"""OpenAPI types, parameters, error samples and examples of the routes under /keys and /audit."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.api_keys.fields import INVALID_OVERLAP, MISSING_NAME
from app.api.api_keys.view import (
    BYTES_PER_DAY,
    BYTES_PER_MINUTE,
    DEFAULT_SENDER,
    DISABLED,
    LANES,
    PER_DAY,
    PER_MINUTE,
    RECIPIENTS,
    RECIPIENTS_PER_DAY,
    RECIPIENTS_PER_MINUTE,
    REDIRECT_TO,
    SENDERS,
    SINK,
    KeyObject,
)
from app.api.auth.authenticator import MAX_OVERLAP
from app.api.http.params import INVALID_LIMIT, INVALID_UUID
from app.api.openapi.email_types import EmailAddress
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Link, Parameter, ParameterIn
from app.api.openapi.types import AT, EVENT_ID, ID, KEY_ID, LATER, Id, Timestamp, describe
from app.api.problems.key_policy import KeyRevoked
from app.api.problems.problem import ErrorName, NotFound
from app.mail.key_policy import MAX_BYTES, MAX_ITEMS, MAX_NAME
from app.mail.message.message import Lane
from app.store.keys.audit_records import Action
from app.store.keys.records import Permission

_Senders: TypeAlias = list[Annotated[str, WithJsonSchema({"type": "string", "format": "sender-pattern"})]]
_Recipients: TypeAlias = list[Annotated[str, WithJsonSchema({"type": "string", "format": "recipient-pattern"})]]
_Name: TypeAlias = Annotated[
    str, WithJsonSchema({"type": "string", "format": "key-name", "minLength": 1, "maxLength": MAX_NAME})
]
_AddressOrNone: TypeAlias = EmailAddress | Literal[""]
_Count: TypeAlias = Annotated[int, Field(ge=0, le=MAX_ITEMS)]
_Bytes: TypeAlias = Annotated[int, Field(ge=0, le=MAX_BYTES)]


class _Policy(TypedDict):
    permission: NotRequired[Permission | None]
    senders: NotRequired[Annotated[_Senders | None, describe(SENDERS)]]
    default_sender: NotRequired[Annotated[_AddressOrNone | None, describe(f"{DEFAULT_SENDER} Empty: none.")]]
    lanes: NotRequired[Annotated[list[Lane] | None, describe(LANES)]]
    recipients: NotRequired[Annotated[_Recipients | None, describe(RECIPIENTS)]]
    redirect_to: NotRequired[Annotated[_AddressOrNone | None, describe(f"{REDIRECT_TO} Empty: no redirection.")]]
    sink: NotRequired[Annotated[bool | None, describe(SINK)]]
    messages_per_minute: NotRequired[Annotated[_Count | None, describe(f"{PER_MINUTE} 0 removes the limit.")]]
    messages_per_day: NotRequired[Annotated[_Count | None, describe(f"{PER_DAY} 0 removes the limit.")]]
    recipients_per_minute: NotRequired[
        Annotated[_Count | None, describe(f"{RECIPIENTS_PER_MINUTE} 0 removes the limit.")]
    ]
    recipients_per_day: NotRequired[Annotated[_Count | None, describe(f"{RECIPIENTS_PER_DAY} 0 removes the limit.")]]
    bytes_per_minute: NotRequired[Annotated[_Bytes | None, describe(f"{BYTES_PER_MINUTE} 0 removes the limit.")]]
    bytes_per_day: NotRequired[Annotated[_Bytes | None, describe(f"{BYTES_PER_DAY} 0 removes the limit.")]]
    disabled: NotRequired[Annotated[bool | None, describe(DISABLED)]]


class KeyInput(_Policy):
    """A new key. Only one of `recipients`, `redirect_to` and `sink` may be given."""

    name: Annotated[_Name, describe("What the key is used for.")]


class KeyRevisionInput(_Policy):
    """Changes of a key. A member that is absent or null is not changed; empty, 0 or false removes a limit."""

    name: NotRequired[Annotated[_Name | None, describe("What the key is used for.")]]


class RotationInput(TypedDict):
    """Options of a rotation. The body may be empty."""

    overlap: NotRequired[
        Annotated[
            int | None,
            describe("Seconds for which the old secret stays valid; 24 hours by default.", ge=0, le=MAX_OVERLAP),
        ]
    ]


class KeyList(TypedDict):
    """All keys, oldest first."""

    object: Literal["list"]
    has_more: Literal[False]
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


class AuditPage(TypedDict):
    """A page of entries, newest first."""

    object: Literal["list"]
    has_more: bool
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
WITH_SECRET = {**KEY, "key": "pst_ZXhhbXBsZS1vZi1hLXNlY3JldA"}
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

ID_PARAMETER = Parameter("id", Id, "The id of the key.", location=ParameterIn.PATH)
NO_KEY = NotFound(f"There is no key {KEY_ID}.")
ID_ERRORS = (invalid("id", INVALID_UUID, ErrorName.INVALID_PARAMETER), NO_KEY)
INPUT_ERRORS = (
    invalid("lanes", "'express' is no lane. Give some of urgent, normal, bulk."),
    invalid(
        "",
        "Allowed recipients, a redirection and a sink exclude each other. Give one, and take the others away.",
        reason="policy_conflict",
    ),
)
MISSING_ERROR = invalid("name", MISSING_NAME, ErrorName.MISSING_REQUIRED_FIELD)
ROTATION_ERRORS = (
    KeyRevoked(),
    invalid("overlap", INVALID_OVERLAP),
)
PAGE_PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Entries on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an entry. The page begins after it.", EVENT_ID),
)
PAGE_ERRORS = (invalid("limit", INVALID_LIMIT),)


def next_steps(id: str) -> dict[str, Link]:
    """Return the links from a response whose key id is at `id`, a runtime expression of OpenAPI."""
    return {name: Link(name, {"id": id}) for name in ("getKey", "reviseKey", "rotateKey", "revokeKey")}
