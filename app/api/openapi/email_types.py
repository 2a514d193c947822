"""An email as callers may write it: the types behind the rules of `fields` and `attachments`, and examples.

They describe and do not judge: the rules do that.
"""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypeAliasType, TypedDict

from app.api.openapi.types import AT, ID, LATER, describe
from app.mail import explain

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
    "description": "A form value that was left empty: taken as absent.",
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
NOTHING: TypeAlias = Annotated[None, Field(description="Not available here: anything but null is refused.")]
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
                {"type": "array", "maxItems": 0, "description": "What PHP makes of an empty object."},
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
_OCTETS = Annotated[list[Annotated[int, Field(ge=0, le=255)]], describe("The octets as numbers.")]


class TagInput(TypedDict):
    """A word by which emails are found again."""

    name: _TAG
    value: NotRequired[_TAG | Literal[""] | None]


class Buffer(TypedDict):
    """What Node.js makes of a Buffer."""

    type: Literal["Buffer"]
    data: _OCTETS


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


class AttachmentInput(TypedDict):
    """A file. A remote `path` is never fetched."""

    content: _BASE64 | _OCTETS | Buffer
    encoding: NotRequired[
        Annotated[
            Literal["base64", "utf-8"] | None,
            describe("`base64`: the string is nothing else. `utf-8`: the characters of the string are the file."),
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


FROM = (
    "The sender. It has to be one that this API key and a pool of mailboxes may send as; left out where the key or the "
    "relay has a default sender."
)
HTML = "The email as HTML. One of `html` and `text` must not be empty."
TEXT = "The email as plain text. Left out, it is made from the html; empty, there is none."
OF_HEADERS = (
    "Further header fields. Those that the email's own members decide (From, Subject, Content-… and the like) are "
    "ignored, a valid `Message-ID` is honoured, and `Reply-To` is used where `reply_to` is absent. What only servers "
    "write (Resent-…, Authentication-Results, ARC-…, X-MS-Exchange-… and the like) is not sent, with a warning. A "
    "folded value (CRLF before a blank or TAB) is unfolded. `X-Postern-Lane`, `X-Postern-Expires-In`, "
    "`X-Postern-On-Unknown` and `X-Postern-Coalesce` mean the members of these names and are not forwarded."
)
EXPIRES_IN = "Seconds after which it is not relayed any more: a code that comes too late is worse than none."
ON_UNKNOWN = (
    "What to do when the connection died between the end of the message and the answer to it, so that nobody knows "
    "whether it arrived: offer it once more (`retry_once`, the default), wait for a person (`hold`), or count it as "
    "sent (`assume_sent`)."
)
LANE = "`urgent` overtakes everything and has a session of its own, `bulk` takes what is left. By default `normal`."
COALESCED = "Newest wins: what still waits with the same value is cancelled."


def needed(schema: dict[str, Any]) -> None:
    """What no type can say: which members have to be there."""
    schema.pop("default", None)
    schema["required"] = ["to", "subject"]
    schema["anyOf"] = [{"required": [name], "properties": {name: NOT_EMPTY}} for name in ("html", "text")]
    for member in schema["properties"].values():
        member.pop("default", None)


RECEIPT: dict[str, Any] = {
    "from": "Contoso <noreply@contoso.com>",
    "to": "ada@example.net",
    "subject": "Your receipt",
    "html": "<p>Thank you.</p>",
}
CODE: dict[str, Any] = {
    "from": "noreply@contoso.com",
    "to": ["ada@example.net"],
    "subject": "Your code is 491 302",
    "text": "It is valid for five minutes.",
    "lane": "urgent",
    "expires_in": 300,
    "coalesce": "code-for-ada",
}
EVERYTHING: dict[str, Any] = {
    "from": "Contoso <noreply@contoso.com>",
    "to": ["Ada Lovelace <ada@example.net>", "charles@example.net"],
    "cc": ["office@example.net"],
    "bcc": None,
    "reply_to": "support@contoso.com",
    "subject": "Invoice 2026-1187",
    "html": '<p>Here is your invoice.</p><img src="cid:logo">',
    "text": "Here is your invoice.",
    "headers": {"X-Invoice": 1187},
    "attachments": [
        {"filename": "invoice.pdf", "content": "JVBERi0xLjQK", "content_type": "application/pdf"},
        {"filename": "logo.png", "content": [137, 80, 78, 71], "content_id": "logo"},
    ],
    "tags": [{"name": "category", "value": "invoice"}],
    "scheduled_at": "in 10 minutes",
    "lane": "bulk",
    "on_unknown": "hold",
}

HEAD: dict[str, Any] = {
    "id": ID,
    "message_id": f"<{ID}@contoso.com>",
    "from": "Contoso <noreply@contoso.com>",
    "to": ["ada@example.net"],
    "cc": [],
    "bcc": [],
    "reply_to": [],
    "subject": "Your receipt",
    "created_at": AT,
    "last_event": "sent",
    "scheduled_at": None,
}
SENT: dict[str, Any] = {
    "object": "email",
    **HEAD,
    "html": "<p>Thank you.</p>",
    "text": "Thank you.",
    "tags": [{"name": "category", "value": "receipt"}],
    "relay": {
        "state": "done",
        "lane": "normal",
        "pool": "default",
        "mailbox": "noreply@contoso.com",
        "position": None,
        "estimated_send_at": None,
        "next_attempt_at": None,
        "expires_at": "2026-11-29T09:00:00.000Z",
        "possible_duplicate": False,
        "content_removed_at": None,
        "recipients": [{"address": "ada@example.net", "state": "relayed", "reply": "250 2.0.0 OK"}],
        "attempts": [
            {
                "number": 1,
                "mailbox": "noreply@contoso.com",
                "started_at": "2026-11-24T09:00:00.031Z",
                "ended_at": LATER,
                "phase": "dot",
                "replies": ["250 2.0.0 OK"],
                "failure": None,
                "verdict": {"ada@example.net": "relayed (relayed)"},
                "in_doubt": False,
                "dialogue": ["C: MAIL FROM:<noreply@contoso.com>", "S: 250 2.1.0 Sender OK"],
            }
        ],
        "explanation": {"summary": explain.SENT.summary, "fix": explain.SENT.fix},
    },
}
