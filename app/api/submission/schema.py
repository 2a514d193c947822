"""Schema of an email in JSON: members, aliases, their order, and unknown members. The rules are in `fields`.

All errors of a request are reported together; the first one, in the order of the members here, gives its name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
)

from app.api.openapi import types
from app.api.openapi.types import describe
from app.api.problems.problem import FieldError, Invalid
from app.api.problems.validation import MAX_ITEMS, field_errors, json_type
from app.api.submission import attachments, fields
from app.api.submission import headers as custom_headers
from app.api.submission.fields import ValidationContext
from app.api.submission.headers import CustomHeaders
from app.mail.message import inline_files
from app.mail.message.address import Address
from app.mail.message.message import Attachment, Lane, OnUnknown, Submission
from app.mail.safe_text import cut, escape_controls

MAX_UNKNOWN = 10  # unknown members in the warnings of one email
MAX_UNKNOWN_NAME = 64  # characters of one that are shown

# Each rule has a second argument for the OpenAPI document: the type that it accepts.
_Address = Annotated[Address, PlainValidator(fields.entry, types.EmailAddress)]
_Addresses = Annotated[
    tuple[Annotated[Address, PlainValidator(fields.optional_entry, types.EmailAddress)], ...],
    BeforeValidator(fields.addresses, types.ADDRESSES),
    AfterValidator(fields.without_absent),  # for these rules alone an entry may be None
]
_Unsupported = Annotated[None, BeforeValidator(fields.unsupported, types.NOTHING)]
_Attachments = Annotated[
    tuple[Annotated[Attachment, PlainValidator(attachments.read)], ...],
    BeforeValidator(fields.numbered),
    BeforeValidator(fields.entries, Annotated[list[types.AttachmentInput], Field(max_length=MAX_ITEMS)] | None),
    AfterValidator(attachments.named),
]
_Tags = Annotated[
    tuple[Annotated[tuple[str, str], PlainValidator(fields.tag)], ...],
    BeforeValidator(fields.entries, Annotated[list[types.TagInput], Field(max_length=MAX_ITEMS)] | None),
]


def _aliased(name: str, other: str, what: str = "") -> Any:
    return describe(
        f"{what} Also as `{other}`.".strip(),
        default=None,
        validate_default=True,
        validation_alias=AliasChoices(name, other),
    )


def _required(name: str, what: str) -> Any:
    """Return a field whose rule reports that it is missing."""
    return describe(what, default=None, validate_default=True, validation_alias=name)


class EmailInput(BaseModel):
    """An email to be sent. Unknown members are ignored with a warning, and null means leaving a member out."""

    model_config = ConfigDict(
        extra="ignore",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        json_schema_extra=types.require_members,
    )

    template: _Unsupported = None
    topic_id: _Unsupported = None
    sender: Annotated[Address, PlainValidator(fields.sender, types.OPTIONAL_ADDRESS)] = _required("from", types.FROM)
    to: Annotated[tuple[_Address, ...], BeforeValidator(fields.required_addresses, types.SOME_ADDRESSES)] = _required(
        "to", "One recipient, or up to 50."
    )
    cc: _Addresses = ()
    bcc: _Addresses = describe("Recipients that no header names.", default=())
    reply_to: _Addresses = _aliased("reply_to", "replyTo", "Addresses for replies.")
    subject: Annotated[str, BeforeValidator(fields.subject, types.ONE_LINE)] = _required("subject", "One line.")
    html: Annotated[str | None, BeforeValidator(fields.html, types.PLAIN | None)] = describe(types.HTML, default=None)
    text: Annotated[str | None, BeforeValidator(fields.text, types.PLAIN | None)] = _required("text", types.TEXT)
    headers: Annotated[CustomHeaders, PlainValidator(custom_headers.read, types.HEADERS)] = describe(
        types.CUSTOM_HEADERS, default=CustomHeaders()
    )
    attachments: _Attachments = describe(
        "Files; those to whose `content_id` the html refers are shown inside it.", default=()
    )
    tags: _Tags = describe("Tags for finding emails; they are not sent.", default=())
    scheduled_at: Annotated[float | None, PlainValidator(fields.scheduled_at, types.SEND_TIME | None)] = _aliased(
        "scheduled_at", "scheduledAt"
    )
    expires_in: Annotated[int | None, PlainValidator(fields.expires_in, types.SECONDS | None)] = describe(
        types.EXPIRES_IN, default=None
    )
    on_unknown: Annotated[OnUnknown | None, PlainValidator(fields.on_unknown, OnUnknown | None)] = describe(
        types.ON_UNKNOWN, default=None
    )
    lane: Annotated[Lane | None, PlainValidator(fields.lane, Lane | None)] = describe(types.LANE, default=None)
    coalesce: Annotated[str | None, PlainValidator(fields.coalesce, types.COALESCE | None)] = describe(
        types.COALESCED, default=None
    )

    def submission(self, default_lane: Lane) -> Submission:
        """Return the submission. A member has priority over the header of the same meaning."""
        return Submission(
            sender=self.sender,
            to=self.to,
            subject=self.subject,
            html=self.html,
            text=self.text,
            cc=self.cc,
            bcc=self.bcc,
            reply_to=self.reply_to or self.headers.reply_to,
            headers=self.headers.forwarded,
            attachments=self.attachments,
            tags=self.tags,
            message_id=self.headers.message_id,
            scheduled_at=self.scheduled_at,
            expires_in=self.expires_in or self.headers.expires_in,
            on_unknown=self.on_unknown or self.headers.on_unknown or OnUnknown.RETRY_ONCE,
            lane=self.lane or self.headers.lane or default_lane,
            coalesce=self.coalesce or self.headers.coalesce,
        )


def read_email(value: Any, reading: ValidationContext) -> Submission:
    """Return the submission that a JSON value describes. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid([FieldError("", f"An email must be one JSON object, not {json_type(value)}.")])
    unknown = [] if _MEMBERS.issuperset(value) else [*_unknown_members(value, strict=reading.strict)]
    refused = unknown if reading.strict else []
    try:
        email = EmailInput.model_validate(value, context=reading)
    except ValidationError as error:
        raise Invalid(refused + field_errors(error.errors(include_url=False, include_input=False))) from None
    if refused:
        raise Invalid(refused)
    for member in unknown:
        reading.warnings.add(member.field, member.message)
    submission = email.submission(reading.default_lane)
    return _linked(submission, reading) if submission.attachments else submission


def _member_names() -> Iterator[str]:
    """Yield the names of all members, and their aliases."""
    for name, field in EmailInput.model_fields.items():
        match field.validation_alias:
            case AliasChoices() as aliases:
                yield from map(str, aliases.choices)
            case alias:
                yield str(alias or name)


_MEMBERS = frozenset(_member_names())


def _unknown_members(value: Mapping[str, Any], *, strict: bool) -> Iterator[FieldError]:
    """Yield the members that no email has: the first MAX_UNKNOWN, unless they are null."""
    said, otherwise = ("is unknown", "; leave it out.") if strict else ("is unknown and was ignored", ".")
    unknown = (name for name, member in value.items() if name not in _MEMBERS and member is not None)
    for name in islice(unknown, MAX_UNKNOWN):
        shown = escape_controls(cut(name, MAX_UNKNOWN_NAME))
        near = get_close_matches(name[:MAX_UNKNOWN_NAME].lower(), _MEMBERS, n=1)
        advice = f"; did you mean `{near[0]}`?" if near else otherwise
        yield FieldError(shown, f"`{shown}` {said}{advice}")


def _linked(submission: Submission, reading: ValidationContext) -> Submission:
    """Return the submission with inline files and attachments separated, and with valid content ids."""
    linked = inline_files.link(submission.html, submission.attachments)
    if linked.attachments is submission.attachments:
        return submission
    for change in linked.changes:
        reading.warnings.add(f"attachments[{change.place}].content_id", attachments.content_id_warning(change))
    return replace(submission, html=linked.html, attachments=linked.attachments)
