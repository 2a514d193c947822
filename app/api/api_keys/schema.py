"""What the routes under /keys and /audit say of themselves: the types of their bodies and answers, with examples."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

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
    redirect_to: NotRequired[Annotated[_AddressOrNone | None, describe(f"{REDIRECT_TO} Empty: nobody's.")]]
    sink: NotRequired[Annotated[bool | None, describe(SINK)]]
    messages_per_minute: NotRequired[Annotated[_Count | None, describe(f"{PER_MINUTE} 0 takes it away.")]]
    messages_per_day: NotRequired[Annotated[_Count | None, describe(f"{PER_DAY} 0 takes it away.")]]
    recipients_per_minute: NotRequired[Annotated[_Count | None, describe(f"{RECIPIENTS_PER_MINUTE} 0 takes it away.")]]
    recipients_per_day: NotRequired[Annotated[_Count | None, describe(f"{RECIPIENTS_PER_DAY} 0 takes it away.")]]
    bytes_per_minute: NotRequired[Annotated[_Bytes | None, describe(f"{BYTES_PER_MINUTE} 0 takes it away.")]]
    bytes_per_day: NotRequired[Annotated[_Bytes | None, describe(f"{BYTES_PER_DAY} 0 takes it away.")]]
    disabled: NotRequired[Annotated[bool | None, describe(DISABLED)]]


class KeyInput(_Policy):
    """A key to be made. `recipients`, `redirect_to` and `sink` exclude each other."""

    name: Annotated[_Name, describe("What it is for.")]


class KeyRevisionInput(_Policy):
    """What is to be changed. What is left out or null stays; what is empty, 0 or false takes a limit away."""

    name: NotRequired[Annotated[_Name | None, describe("What it is for.")]]


class RotationInput(TypedDict):
    """The body may be empty too."""

    overlap: NotRequired[
        Annotated[
            int | None,
            describe("Seconds for which the old secret works; a day by default.", ge=0, le=MAX_OVERLAP),
        ]
    ]


class KeyList(TypedDict):
    """All keys, the oldest first."""

    object: Literal["list"]
    has_more: Literal[False]
    data: list[KeyObject]


class RevokedKey(TypedDict):
    """It is refused from now on."""

    object: Literal["key"]
    id: Id
    deleted: Literal[True]


class AuditEntry(TypedDict):
    """What somebody did, or what was refused to somebody."""

    id: Id
    created_at: Timestamp
    action: Action
    subject: Annotated[
        str, describe("To what: a key, an email, a mailbox, or the request that was refused; of several, the first.")
    ]
    actor: Annotated[str, describe("The name of an API key, or `command line`, or `nobody known`.")]
    key_id: Annotated[Id | None, describe("The API key of that name.")]
    request_id: str | None
    details: Annotated[dict[str, Any], describe("What was changed, from what to what; or how it was refused.")]
    times: Annotated[
        int, describe("The same refusal, or cancellations, of the same key are one entry for each hour.", ge=1)
    ]
    last_at: Timestamp


class AuditPage(TypedDict):
    """Some entries, the newest first."""

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
ID_ERRORS = (invalid("id", "It must be a UUID, as this relay gave it out.", ErrorName.INVALID_PARAMETER), NO_KEY)
INPUT_ERRORS = (
    invalid("lanes", "'express' is no lane. Give some of urgent, normal, bulk."),
    invalid(
        "",
        "Allowed recipients, a redirection and a sink exclude each other. Give one, and take the others away.",
        reason="policy_conflict",
    ),
)
MISSING_ERROR = invalid("name", "The name is missing; say what the key is for.", ErrorName.MISSING_REQUIRED_FIELD)
ROTATION_ERRORS = (
    KeyRevoked(),
    invalid("overlap", f"It must be a whole number of seconds from 0 to {MAX_OVERLAP}."),
)
PAGE_PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Entries on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an entry: those behind it in the list.", EVENT_ID),
)
PAGE_ERRORS = (invalid("limit", "It must be a whole number from 1 to 100."),)


def next_steps(id: str) -> dict[str, Link]:
    """What can be done with a key whose id is at this place of an answer."""
    return {name: Link(name, {"id": id}) for name in ("getKey", "reviseKey", "rotateKey", "revokeKey")}
