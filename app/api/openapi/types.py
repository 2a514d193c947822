"""Types and values of the OpenAPI document: ids, times, descriptions, and the members of an email in a request."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypeAliasType, TypedDict

Id: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Timestamp: TypeAlias = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T09:00:00.000Z"]}),
]

BASE_URL = "http://127.0.0.1:8025"  # of this server in code samples, where the address of the request is unknown
ID = "019ab3c4-7d20-7a31-9c55-2f6d1e0b8a47"  # of an email, in examples
OTHER_ID = "019ab3c4-7d25-7b02-8e1f-64c9d3a7f510"
WEBHOOK_ID = "5c3b8a52-6a3e-4b17-9d0c-2f7f1b9e4d10"
KEY_ID = "4d8d2a5e-0c1f-4c55-9a63-5b2e8f7c1a90"
EVENT_ID = "9e3f4c1e-7e2b-4f0c-8d55-0b6a3f1c2d77"
AT = "2026-11-24T09:00:00.000Z"
LATER = "2026-11-24T09:00:02.412Z"

_MAILBOX = {
    "type": "string",
    "format": "mailbox",
    "minLength": 3,
    "description": "Exactly one address, as `ada@example.net` or `Ada Lovelace <ada@example.net>`.",
    "examples": ["Ada Lovelace <ada@example.net>"],
}
EmailAddress = TypeAliasType("EmailAddress", Annotated[str, WithJsonSchema(_MAILBOX)])
_EMPTY = {
    "type": "string",
    "pattern": r"^[ \t\r\n]*$",
    "description": "An empty form value; it is treated as absent.",
}
OPTIONAL_ADDRESS: TypeAlias = EmailAddress | Annotated[str, WithJsonSchema(_EMPTY)] | None
ADDRESSES: TypeAlias = (
    OPTIONAL_ADDRESS | Annotated[list[EmailAddress | Annotated[str, WithJsonSchema(_EMPTY)]], Field(max_length=50)]
)
SOME_ADDRESSES: TypeAlias = EmailAddress | Annotated[list[EmailAddress], Field(min_length=1, max_length=50)]
PLAIN: TypeAlias = str
ONE_LINE: TypeAlias = Annotated[
    str, Field(min_length=1, pattern=r"^(\r\n[ \t]|[^\r\n])*[^\r\n\u0000](\r\n[ \t]|[^\r\n])*$")
]
NOT_EMPTY = {"type": "string", "minLength": 1, "pattern": r"[^\u0000]"}
NOTHING: TypeAlias = Annotated[None, Field(description="Not supported: only null is accepted.")]
HEADERS: TypeAlias = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "maxProperties": 1000,
                    "propertyNames": {"pattern": "^[!-9;-~]{1,76}$"},
                    "additionalProperties": {
                        "type": ["string", "number", "boolean", "null"],
                        "pattern": r"^(\r\n[ \t]|[^\r\n\u0000])*$",
                    },
                },
                {"type": "array", "maxItems": 0, "description": "An empty object as PHP writes it."},
                {"type": "null"},
            ]
        }
    ),
]
SEND_TIME: TypeAlias = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "send-time",
            "description": "ISO 8601 such as `2026-11-24T09:00:00Z` (UTC without an offset), or a delay such as "
            "`in 10 minutes` (seconds, minutes, hours, days, weeks). `UTC` and `GMT` are read as `Z`. At most 30 days "
            "ahead; a time up to one hour in the past means at once.",
            "examples": ["in 10 minutes"],
        }
    ),
]
SECONDS: TypeAlias = (
    Annotated[int, Field(ge=1, le=604_800)] | Annotated[str, WithJsonSchema({"type": "string", "format": "seconds"})]
)
COALESCE: TypeAlias = Annotated[
    str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128, "format": "printable"})
]
_TAG = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,256}$")]

_BASE64 = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "base64",
            "description": "Base64 (RFC 4648 §4), white space ignored, or a `data:` URL. Where the media type is "
            "`text/…`, a string that cannot be base64 is the text itself: it has other characters, or several words. "
            "`encoding` decides where a string could be either.",
        }
    ),
]

FROM = (
    "The sender. This API key and a pool of mailboxes must be allowed to send as it. Optional if the key or the relay "
    "has a default sender."
)
HTML = "The email as HTML. One of `html` and `text` must not be empty."
TEXT = "The email as plain text. Absent: generated from the html. Empty: the email has no text."
CUSTOM_HEADERS = (
    "Further header fields. Those that other members determine (From, Subject, Content-… and so on) are ignored, a "
    "valid `Message-ID` is used, and `Reply-To` is used if `reply_to` is absent. Fields that only servers write "
    "(Resent-…, Authentication-Results, ARC-…, X-MS-Exchange-… and so on) are not sent, with a warning. A "
    "folded value (CRLF before a blank or TAB) is unfolded. `X-Postern-Lane`, `X-Postern-Expires-In`, "
    "`X-Postern-On-Unknown` and `X-Postern-Coalesce` mean the members of these names and are not forwarded."
)
EXPIRES_IN = "Seconds after which the email is not relayed any more, such as the validity of a one-time code."
ON_UNKNOWN = (
    "Policy if the connection is lost between the end of the message and its reply, so that the outcome is unknown: "
    "send it once more (`retry_once`, the default), hold it for an operator (`hold`), or treat it as sent "
    "(`assume_sent`)."
)
LANE = "Priority. `urgent` is sent first and has reserved capacity, `bulk` is sent last. By default `normal`."
COALESCED = "An email that waits with the same value is cancelled when this one is accepted."


class ExplanationObject(TypedDict):
    """Explanation of a state in plain words, and how to fix it."""

    summary: str
    fix: str


def describe(what: str, **more: Any) -> Any:
    """Return a field with its meaning, in one or two plain sentences."""
    return Field(description=what, **more)


_OCTETS = Annotated[list[Annotated[int, Field(ge=0, le=255)]], describe("The bytes as numbers.")]


class TagInput(TypedDict):
    """A tag for finding emails."""

    name: _TAG
    value: NotRequired[_TAG | Literal[""] | None]


class Buffer(TypedDict):
    """A Buffer of Node.js in JSON."""

    type: Literal["Buffer"]
    data: _OCTETS


class AttachmentInput(TypedDict):
    """A file. A remote `path` is never fetched."""

    content: _BASE64 | _OCTETS | Buffer
    encoding: NotRequired[
        Annotated[
            Literal["base64", "utf-8"] | None,
            describe("`base64`: the string is base64. `utf-8`: the characters of the string are the file."),
        ]
    ]
    filename: NotRequired[
        Annotated[str, Field(max_length=255, pattern=r"^[^\u0000-\u001f\u007f]*$")] | Literal[False] | None
    ]
    content_type: NotRequired[
        Annotated[
            str | None,
            describe("By default that of a `data:` URL, else guessed from the filename. Also as `contentType`."),
            WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 255, "pattern": "^[ -~]*$"}, {"type": "null"}]}),
        ]
    ]
    content_id: NotRequired[
        Annotated[
            str | None,
            describe(
                "Shows the file inside the html as `cid:…`; without a reference it is an ordinary attachment. It may "
                "be any text: where it cannot be a Content-ID, one is made and the html is changed to it. Also as "
                "`contentId` or `inline_content_id`."
            ),
            WithJsonSchema({"anyOf": [{"type": "string", "format": "content-id"}, {"type": "null"}]}),
        ]
    ]


def require_members(schema: dict[str, Any]) -> None:
    """Add the required members, which no type expresses."""
    schema.pop("default", None)
    schema["required"] = ["to", "subject"]
    schema["anyOf"] = [{"required": [name], "properties": {name: NOT_EMPTY}} for name in ("html", "text")]
    for member in schema["properties"].values():
        member.pop("default", None)
