"""An email as JSON becomes a `Submission`: the members, their aliases and their order. The rules are in `fields`.

Everything wrong with a request is told at once; the first flaw, in the order of the members here, decides its name.
"""

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
from pydantic_core import ErrorDetails

from app.api import attachments, custom_headers, fields
from app.api.custom_headers import CustomHeaders
from app.api.errors import MOST_DETAILS, Flaw, Invalid, Name
from app.api.fields import Reading
from app.mail.address import Address
from app.mail.message import Attachment, Lane, OnUnknown, Submission

_Address = Annotated[Address, PlainValidator(fields.address)]
_Addresses = Annotated[tuple[_Address, ...], BeforeValidator(fields.addresses)]
_Unsupported = Annotated[None, BeforeValidator(fields.unsupported)]
_Attachments = Annotated[
    tuple[Annotated[Attachment, PlainValidator(attachments.read)], ...],
    BeforeValidator(fields.entries),
    AfterValidator(attachments.named),
]
_Tags = Annotated[tuple[Annotated[tuple[str, str], PlainValidator(fields.tag)], ...], BeforeValidator(fields.entries)]


def _also(name: str, *others: str) -> Any:
    return Field(default=None, validate_default=True, validation_alias=AliasChoices(name, *others))


def _required(name: str) -> Any:
    """The rule itself finds that it is missing, and says so in its own words."""
    return Field(default=None, validate_default=True, validation_alias=name)


class EmailRequest(BaseModel):
    """The body of POST /emails, and each item of a batch (api.md §2). Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore", arbitrary_types_allowed=True, hide_input_in_errors=True)

    template: _Unsupported = None
    topic_id: _Unsupported = None
    sender: Annotated[Address, PlainValidator(fields.sender)] = _required("from")
    to: Annotated[tuple[_Address, ...], BeforeValidator(fields.some_addresses)] = _required("to")
    cc: _Addresses = ()
    bcc: _Addresses = ()
    reply_to: _Addresses = _also("reply_to", "replyTo")
    subject: Annotated[str, BeforeValidator(fields.subject)] = _required("subject")
    html: Annotated[str | None, BeforeValidator(fields.html)] = None
    text: Annotated[str | None, BeforeValidator(fields.text)] = _required("text")
    headers: Annotated[CustomHeaders, PlainValidator(custom_headers.read)] = CustomHeaders()
    attachments: _Attachments = ()
    tags: _Tags = ()
    scheduled_at: Annotated[float | None, PlainValidator(fields.scheduled_at)] = _also("scheduled_at", "scheduledAt")
    expires_in: Annotated[int | None, PlainValidator(fields.expires_in)] = None
    on_unknown: Annotated[OnUnknown | None, PlainValidator(fields.on_unknown)] = None
    lane: Annotated[Lane | None, PlainValidator(fields.lane)] = None
    coalesce: Annotated[str | None, PlainValidator(fields.coalesce)] = None

    def submission(self) -> Submission:
        """What is meant. A member counts before the header that says the same."""
        return Submission(
            sender=self.sender,
            to=self.to,
            subject=self.subject,
            html=self.html,
            text=self.text,
            cc=self.cc,
            bcc=self.bcc,
            reply_to=self.reply_to,
            headers=self.headers.forwarded,
            attachments=self.attachments,
            tags=self.tags,
            message_id=self.headers.message_id,
            scheduled_at=self.scheduled_at,
            expires_in=self.expires_in or self.headers.expires_in,
            on_unknown=self.on_unknown or self.headers.on_unknown or OnUnknown.RETRY_ONCE,
            lane=self.lane or self.headers.lane or Lane.NORMAL,
            coalesce=self.coalesce or self.headers.coalesce,
        )


def read_email(value: Any, reading: Reading) -> Submission:
    """The email that a JSON value describes. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid([Flaw("", f"An email must be one JSON object, not {fields.kind(value)}.")])
    try:
        return EmailRequest.model_validate(value, context=reading).submission()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise Invalid([_flaw(details) for details in found[:MOST_DETAILS]]) from None


def _flaw(details: ErrorDetails) -> Flaw:
    """Every rule raises what `fields.refuse` makes, so its parts are there."""
    context = details["ctx"]
    return Flaw(_place(details["loc"]) + context["at"], context["sentence"], Name(details["type"]), context["reason"])


def _place(path: tuple[int | str, ...]) -> str:
    """Like `to[3]`, in the caller's words: `from` is no name that Python allows."""
    return "".join(f"[{step}]" if isinstance(step, int) else step for step in path).replace("sender", "from")
