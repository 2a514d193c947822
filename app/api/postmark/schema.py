"""Types and examples of Postmark's API for the OpenAPI document.

They validate nothing: `translate` and the rules of all emails do.
"""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from app.api.openapi.email_types import NOT_EMPTY, NOTHING, ONE_LINE, OPTIONAL_ADDRESS, PLAIN
from app.api.openapi.operation import ErrorFormat
from app.api.openapi.types import AT, ID, OTHER_ID, Id, Timestamp, describe
from app.api.postmark.errors import render
from app.api.postmark.translate import MAX_METADATA_NAME, MAX_TAG_TEXT
from app.api.submission.fields import Warned

_LIST = {"type": "string", "format": "mailboxes", "examples": ["ada@example.net, Charles <charles@example.net>"]}
_NO_ADDRESSES = {"type": "string", "pattern": "^[ \t,]*$"}
_AddressesOrNone: TypeAlias = Annotated[str | None, WithJsonSchema({"anyOf": [_LIST, _NO_ADDRESSES, {"type": "null"}]})]
_SCALAR = {"type": ["string", "number", "boolean", "null"], "pattern": r"^[^\u0000]*$", "maxLength": MAX_TAG_TEXT}


def _needed(schema: dict[str, Any]) -> None:
    """Require one of the two bodies and one of the three kinds of recipients, which no type expresses."""
    schema["allOf"] = [
        {"anyOf": [{"required": [name], "properties": {name: kind}} for name in names]}
        for names, kind in ((("HtmlBody", "TextBody"), NOT_EMPTY), (("To", "Cc", "Bcc"), _LIST))
    ]


class PostmarkHeader(TypedDict):
    """A further header field. No name comes twice."""

    Name: Annotated[str, Field(pattern="^[!-9;-~]{1,76}$")]
    Value: NotRequired[
        Annotated[
            Any,
            WithJsonSchema(
                {"type": ["string", "number", "boolean", "null"], "pattern": r"^(\r\n[ \t]|[^\r\n\u0000])*$"}
            ),
            describe("Without it the field is left out."),
        ]
    ]


class PostmarkAttachment(TypedDict):
    """A file. With a `ContentID` to which the html refers, it is shown inside the html."""

    Name: NotRequired[
        Annotated[str, Field(max_length=255, pattern=r"^[^\u0000-\u001f\u007f]*$")] | Literal[False] | None
    ]
    Content: Annotated[str, WithJsonSchema({"type": "string", "format": "base64"})]
    Encoding: NotRequired[Annotated[Literal["base64", "utf-8"] | None, describe("Not Postmark's: see `encoding`.")]]
    ContentType: NotRequired[Annotated[str, Field(max_length=255, pattern="^[ -~]*$")] | None]
    ContentID: NotRequired[
        Annotated[
            str | None,
            WithJsonSchema({"anyOf": [{"type": "string", "format": "content-id"}, {"type": "null"}]}),
        ]
    ]


@with_config(ConfigDict(json_schema_extra=_needed))
class PostmarkEmail(TypedDict):
    """An email in Postmark's form. Other members are ignored: TrackOpens, TrackLinks, MessageStream and so on."""

    From: NotRequired[Annotated[OPTIONAL_ADDRESS, describe("Left out where there is a default sender.")]]
    To: NotRequired[
        Annotated[
            _AddressesOrNone, describe("Up to 50 addresses, with commas between them. May be left out beside Cc, Bcc.")
        ]
    ]
    Cc: NotRequired[_AddressesOrNone]
    Bcc: NotRequired[_AddressesOrNone]
    ReplyTo: NotRequired[_AddressesOrNone]
    Subject: ONE_LINE
    HtmlBody: NotRequired[PLAIN | None]
    TextBody: NotRequired[PLAIN | None]
    Headers: NotRequired[Annotated[list[PostmarkHeader], Field(max_length=1000)] | None]
    Attachments: NotRequired[Annotated[list[PostmarkAttachment], Field(max_length=1000)] | None]
    Tag: NotRequired[Annotated[Any, WithJsonSchema(_SCALAR), describe("Becomes the value of our tag `tag`.")]]
    Metadata: NotRequired[
        Annotated[
            Any,
            WithJsonSchema(
                {
                    "type": ["object", "null"],
                    "maxProperties": 1000,
                    "propertyNames": {"minLength": 1, "maxLength": MAX_METADATA_NAME, "pattern": r"^[^\u0000]*$"},
                    "additionalProperties": _SCALAR,
                }
            ),
            describe("Each entry becomes a tag of ours. It is not sent."),
        ]
    ]
    TemplateId: NotRequired[NOTHING]
    TemplateAlias: NotRequired[NOTHING]
    TemplateModel: NotRequired[NOTHING]


class PostmarkSent(Warned):
    """A stored email, which will be relayed."""

    To: str
    SubmittedAt: Timestamp
    MessageID: Id
    ErrorCode: Literal[0]
    Message: Literal["OK"]


class PostmarkError(TypedDict):
    """Every response under /email that is no success."""

    ErrorCode: Annotated[int, describe("One of Postmark's numbers.", ge=1)]
    Message: Annotated[str, describe("The error and how to fix it, with Postmark's names of members.", min_length=1)]


ERROR_FORMAT = ErrorFormat(PostmarkError, render)
ANSWERS = list[PostmarkSent | PostmarkError]

RECEIPT: dict[str, Any] = {
    "From": "Contoso <noreply@contoso.com>",
    "To": "ada@example.net, Charles <charles@example.net>",
    "Subject": "Your receipt",
    "HtmlBody": "<p>Thank you.</p>",
    "Headers": [{"Name": "X-Invoice", "Value": "1187"}],
    "Attachments": [{"Name": "invoice.pdf", "Content": "JVBERi0xLjQK", "ContentType": "application/pdf"}],
    "Tag": "receipt",
    "Metadata": {"customer": "42"},
}
CODE: dict[str, Any] = {
    "From": "noreply@contoso.com",
    "To": "ada@example.net",
    "Subject": "Code",
    "TextBody": "491 302",
}
SENT: dict[str, Any] = {
    "To": "ada@example.net, Charles <charles@example.net>",
    "SubmittedAt": AT,
    "MessageID": ID,
    "ErrorCode": 0,
    "Message": "OK",
}
SENT_BATCH = [
    {**SENT, "To": "ada@example.net", "MessageID": OTHER_ID},
    {"ErrorCode": 300, "Message": "To[0]: The address has no @; write it like anna@example.com."},
]
