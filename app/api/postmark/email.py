"""Email in Postmark's form: its model, and its translation to the form of POST /emails.

The model validates only members without a native form; the rules of all emails validate the others. Ignored, because
they do not change the message: TrackOpens, TrackLinks, MessageStream, InlineCss. A template would change it, so it
becomes the member `template`, which is refused.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from typing_extensions import TypedDict

from app.api.openapi.types import NOT_EMPTY, NOTHING, ONE_LINE, OPTIONAL_ADDRESS, PLAIN, describe
from app.api.problems.validation import MAX_ITEMS, invalid, validation_error, wire_name, wrong_type

MAX_TAG_TEXT = 1000  # characters of a Tag or of a value in Metadata
MAX_METADATA_NAME = 256
MAX_ADDRESS_LIST = 256 * 1024  # characters of To, Cc, Bcc or ReplyTo
ATTACHMENT_MEMBERS = {
    "Name": "filename",
    "Content": "content",
    "ContentType": "content_type",
    "ContentID": "content_id",
    "Encoding": "encoding",  # not Postmark's, but named in error sentences
}
_WITHOUT_NATIVE_FORM = frozenset({"tag", "metadata", "template_alias", "template_model"})
_QUOTES_AND_COMMAS = re.compile(r'\\.|[",]', re.DOTALL)
_LIST = {"type": "string", "format": "mailboxes", "examples": ["ada@example.net, Charles <charles@example.net>"]}
_NO_ADDRESSES = {"type": "string", "pattern": "^[ \t,]*$"}
_SCALAR = {"type": ["string", "number", "boolean", "null"], "pattern": r"^[^\u0000]*$", "maxLength": MAX_TAG_TEXT}
_METADATA = {
    "type": ["object", "null"],
    "maxProperties": 1000,
    "propertyNames": {"minLength": 1, "maxLength": MAX_METADATA_NAME, "pattern": r"^[^\u0000]*$"},
    "additionalProperties": _SCALAR,
}


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


def _unchanged(value: Any) -> Any:
    """Return the value, which a rule of all emails validates."""
    return value


def _address_list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > MAX_ADDRESS_LIST:
        raise validation_error(f"It has {len(value)} characters and may have {MAX_ADDRESS_LIST}; send several emails.")
    return split_addresses(value)


def split_addresses(text: str) -> list[str]:
    """Split a list of addresses at its commas (RFC 5322 §3.4); a comma in quotation marks is part of a name."""
    parts, start, quoted = [], 0, False
    for mark in _QUOTES_AND_COMMAS.finditer(text):
        if mark[0] == '"':
            quoted = not quoted
        elif mark[0] == "," and not quoted:
            parts.append(text[start : mark.start()])
            start = mark.end()
    parts.append(text[start:])
    return [bare for part in parts if (bare := part.strip(" \t"))]


def _headers(given: Any) -> Any:
    """Return `[{"Name", "Value"}]` as an object."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise validation_error(wrong_type('a list like [{"Name": "X-Reference", "Value": "42"}]', given))
    if len(given) > MAX_ITEMS:
        raise validation_error(f"It has {len(given)} headers and may have {MAX_ITEMS}.")
    headers: dict[str, Any] = {}
    for place, header in enumerate(given):
        name = header.get("Name") if isinstance(header, dict) else None
        if not isinstance(name, str):
            sentence = 'It must be an object like {"Name": "X-Reference", "Value": "42"}.'
            raise validation_error(sentence, at=f"[{place}]")
        if name in headers:
            raise validation_error("There is a header of this name already; give each once.", at=f"[{place}]")
        headers[name] = header.get("Value")
    return headers


def _attachments(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    return [
        {name: file.get(theirs) for theirs, name in ATTACHMENT_MEMBERS.items()} if isinstance(file, dict) else file
        for file in given
    ]


def _tag(given: Any) -> list[tuple[str, str]]:
    return [] if given is None or given == "" else [("tag", _text(given))]


def _metadata(given: Any) -> list[tuple[str, str]]:
    """Return each entry as a tag: visible in GET /emails and in webhooks, not to recipients."""
    if given is None:
        return []
    if not isinstance(given, dict):
        raise validation_error(wrong_type('an object like {"customer": "42"}', given))
    if len(given) > MAX_ITEMS:
        raise validation_error(f"It has {len(given)} entries and may have {MAX_ITEMS}.")
    for name in given:
        if not 1 <= len(name) <= MAX_METADATA_NAME or "\0" in name:
            raise validation_error(f"A name in it must have 1 to {MAX_METADATA_NAME} characters, none of them NUL.")
    return [(name, _text(value, f".{name}")) for name, value in given.items() if value is not None]


def _text(value: Any, at: str = "") -> str:
    """Return a value as text, as Postmark does."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() if len(value) <= MAX_TAG_TEXT and "\0" not in value:
            return value
        case str():
            raise validation_error(f"It must have at most {MAX_TAG_TEXT} characters, none of them NUL.", at=at)
    raise validation_error(wrong_type("a string", value), at=at)


_Sender: TypeAlias = Annotated[Any, PlainValidator(_unchanged, OPTIONAL_ADDRESS)]
_Addresses: TypeAlias = Annotated[
    Any,
    PlainValidator(
        _address_list, Annotated[str | None, WithJsonSchema({"anyOf": [_LIST, _NO_ADDRESSES, {"type": "null"}]})]
    ),
]
_OneLine: TypeAlias = Annotated[Any, PlainValidator(_unchanged, ONE_LINE)]
_Content: TypeAlias = Annotated[Any, PlainValidator(_unchanged, PLAIN | None)]
_Headers: TypeAlias = Annotated[
    Any, PlainValidator(_headers, Annotated[list[PostmarkHeader], Field(max_length=1000)] | None)
]
_Attachments: TypeAlias = Annotated[
    Any, PlainValidator(_attachments, Annotated[list[PostmarkAttachment], Field(max_length=1000)] | None)
]
_Tags: TypeAlias = list[tuple[str, str]]
_Template: TypeAlias = Annotated[Any, PlainValidator(_unchanged, NOTHING)]


def _require(schema: dict[str, Any]) -> None:
    """Require the subject, one of the two bodies and one of the three kinds of recipients, which no type expresses."""
    schema["required"] = ["Subject"]
    schema["allOf"] = [
        {"anyOf": [{"required": [name], "properties": {name: kind}} for name in names]}
        for names, kind in ((("HtmlBody", "TextBody"), NOT_EMPTY), (("To", "Cc", "Bcc"), _LIST))
    ]
    for member in schema["properties"].values():
        member.pop("default", None)


class PostmarkEmail(BaseModel):
    """An email in Postmark's form. Other members are ignored: TrackOpens, TrackLinks, MessageStream and so on."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, loc_by_alias=False, json_schema_extra=_require)

    sender: _Sender = describe("Left out where there is a default sender.", default=None, alias="From")
    to: _Addresses = describe(
        "Up to 50 addresses, with commas between them. May be left out beside Cc, Bcc.", default=None, alias="To"
    )
    cc: _Addresses = Field(None, alias="Cc")
    bcc: _Addresses = Field(None, alias="Bcc")
    reply_to: _Addresses = Field(None, alias="ReplyTo")
    subject: _OneLine = Field(None, alias="Subject")
    html: _Content = Field(None, alias="HtmlBody")
    text: _Content = Field(None, alias="TextBody")
    headers: _Headers = Field(None, alias="Headers")
    attachments: _Attachments = Field(None, alias="Attachments")
    tag: Annotated[_Tags, PlainValidator(_tag, Annotated[Any, WithJsonSchema(_SCALAR)])] = describe(
        "Becomes the value of our tag `tag`.", default=[], alias="Tag"
    )
    metadata: Annotated[_Tags, PlainValidator(_metadata, Annotated[Any, WithJsonSchema(_METADATA)])] = describe(
        "Each entry becomes a tag of ours. It is not sent.", default=[], alias="Metadata"
    )
    template: _Template = Field(None, alias="TemplateId")
    template_alias: _Template = Field(None, alias="TemplateAlias")
    template_model: _Template = Field(None, alias="TemplateModel")


def to_native(email: Mapping[str, Any]) -> dict[str, Any]:
    """Return the equivalent body of POST /emails. Raises Invalid with native field names."""
    try:
        found = PostmarkEmail.model_validate(email)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False)[:1]) from None
    native = {wire_name(name): value for name, value in found if name not in _WITHOUT_NATIVE_FORM}
    if not found.to and any(
        copies and isinstance(email[name], str) for name, copies in (("Cc", found.cc), ("Bcc", found.bcc))
    ):
        native["to"] = ()  # marks an email with Cc or Bcc alone as valid
    native["tags"] = [*found.tag, *found.metadata]
    templates = (found.template, found.template_alias, found.template_model)
    native["template"] = next((template for template in templates if template is not None), None)
    return native
