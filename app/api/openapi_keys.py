"""What the routes under /keys and /audit say of themselves: the types of their bodies and answers, with examples."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.api.errors import Name, NotFound
from app.api.key_object import (
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
from app.api.keys import LONGEST_OVERLAP
from app.api.openapi import Link, Parameter, Place
from app.api.openapi_email import EmailAddress
from app.api.openapi_errors import invalid
from app.api.openapi_types import AT, EVENT_ID, ID, KEY_ID, LATER, Id, Timestamp, says
from app.api.policy_errors import KeyRevoked
from app.mail.key_policy import LONGEST_NAME, MOST, MOST_BYTES
from app.mail.message import Lane
from app.store.audit_records import Action
from app.store.records import Permission

_Senders: TypeAlias = list[Annotated[str, WithJsonSchema({"type": "string", "format": "sender-pattern"})]]
_Recipients: TypeAlias = list[Annotated[str, WithJsonSchema({"type": "string", "format": "recipient-pattern"})]]
_Name: TypeAlias = Annotated[
    str, WithJsonSchema({"type": "string", "format": "key-name", "minLength": 1, "maxLength": LONGEST_NAME})
]
_AddressOrNone: TypeAlias = EmailAddress | Literal[""]
_Count: TypeAlias = Annotated[int, Field(ge=0, le=MOST)]
_Bytes: TypeAlias = Annotated[int, Field(ge=0, le=MOST_BYTES)]


class _Policy(TypedDict):
    permission: NotRequired[Permission | None]
    senders: NotRequired[Annotated[_Senders | None, says(SENDERS)]]
    default_sender: NotRequired[Annotated[_AddressOrNone | None, says(f"{DEFAULT_SENDER} Empty: none.")]]
    lanes: NotRequired[Annotated[list[Lane] | None, says(LANES)]]
    recipients: NotRequired[Annotated[_Recipients | None, says(RECIPIENTS)]]
    redirect_to: NotRequired[Annotated[_AddressOrNone | None, says(f"{REDIRECT_TO} Empty: nobody's.")]]
    sink: NotRequired[Annotated[bool | None, says(SINK)]]
    messages_per_minute: NotRequired[Annotated[_Count | None, says(f"{PER_MINUTE} 0 takes it away.")]]
    messages_per_day: NotRequired[Annotated[_Count | None, says(f"{PER_DAY} 0 takes it away.")]]
    recipients_per_minute: NotRequired[Annotated[_Count | None, says(f"{RECIPIENTS_PER_MINUTE} 0 takes it away.")]]
    recipients_per_day: NotRequired[Annotated[_Count | None, says(f"{RECIPIENTS_PER_DAY} 0 takes it away.")]]
    bytes_per_minute: NotRequired[Annotated[_Bytes | None, says(f"{BYTES_PER_MINUTE} 0 takes it away.")]]
    bytes_per_day: NotRequired[Annotated[_Bytes | None, says(f"{BYTES_PER_DAY} 0 takes it away.")]]
    disabled: NotRequired[Annotated[bool | None, says(DISABLED)]]


class KeyInput(_Policy):
    """A key to be made. `recipients`, `redirect_to` and `sink` exclude each other."""

    name: Annotated[_Name, says("What it is for.")]


class KeyRevisionInput(_Policy):
    """What is to be changed. What is left out or null stays; what is empty, 0 or false takes a limit away."""

    name: NotRequired[Annotated[_Name | None, says("What it is for.")]]


class RotationInput(TypedDict):
    """The body may be empty too."""

    overlap: NotRequired[
        Annotated[
            int | None,
            says("Seconds for which the old secret works; a day by default.", ge=0, le=LONGEST_OVERLAP),
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
        str, says("To what: a key, an email, a mailbox, or the request that was refused; of several, the first.")
    ]
    actor: Annotated[str, says("The name of an API key, or `command line`, or `nobody known`.")]
    key_id: Annotated[Id | None, says("The API key of that name.")]
    request_id: str | None
    details: Annotated[dict[str, Any], says("What was changed, from what to what; or how it was refused.")]
    times: Annotated[
        int, says("The same refusal, or cancellations, of the same key are one entry for each hour.", ge=1)
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

ID_PART = Parameter("id", Id, "The id of the key.", place=Place.PATH)
NO_KEY = NotFound(f"There is no key {KEY_ID}.")
OF_ONE = (invalid("id", "It must be a UUID, as this relay gave it out.", Name.INVALID_PARAMETER), NO_KEY)
OF_INPUT = (
    invalid("lanes", "'express' is no lane. Give some of urgent, normal, bulk."),
    invalid(
        "",
        "Allowed recipients, a redirection and a sink exclude each other. Give one, and take the others away.",
        reason="policy_conflict",
    ),
)
MISSING = invalid("name", "The name is missing; say what the key is for.", Name.MISSING_REQUIRED_FIELD)
OF_ROTATION = (
    KeyRevoked(),
    invalid("overlap", f"It must be a whole number of seconds from 0 to {LONGEST_OVERLAP}."),
)
PAGE = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Entries on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an entry: those behind it in the list.", EVENT_ID),
)
OF_PAGE = (invalid("limit", "It must be a whole number from 1 to 100."),)


def listed(*data: dict[str, Any]) -> dict[str, Any]:
    """A page of these."""
    return {"object": "list", "has_more": False, "data": [*data]}


def next_steps(id: str) -> dict[str, Link]:
    """What can be done with a key whose id is at this place of an answer."""
    return {name: Link(name, {"id": id}) for name in ("getKey", "reviseKey", "rotateKey", "revokeKey")}
