"""The parameters of GET /emails in the OpenAPI document. The rules themselves are in `query`."""

from typing import Annotated, TypeAlias

from pydantic import Field, WithJsonSchema

from app.api.openapi.email_types import EmailAddress
from app.api.openapi.operation import Parameter
from app.api.openapi.types import ID, Id
from app.mail.lifecycle import LastEvent
from app.mail.message.message import Lane

_Moment: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

PARAMETERS = (
    Parameter("limit", Annotated[int, Field(ge=1, le=100)], "Emails on a page; 20 by default.", 20),
    Parameter("after", Id, "The id of an email: those that were accepted before it.", ID),
    Parameter("before", Id, "The id of an email: those that were accepted after it."),
    Parameter("last_event", LastEvent, "Where they stand."),
    Parameter("to", EmailAddress, "A recipient, of cc and bcc too, in whatever case."),
    Parameter("from", EmailAddress, "The sender, in whatever case."),
    Parameter(
        "tag",
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}(:[^\u0000]{0,1000})?$")],
        "The name of a tag, or `name:value`. Emails of Postmark's SDKs have values with whatever characters.",
        "category:receipt",
    ),
    Parameter("lane", Lane, "The lane they go by."),
    Parameter("created_after", _Moment, "Accepted at this time or later. Write a + in it as %2B."),
    Parameter("created_before", _Moment, "Accepted before this time."),
    Parameter(
        "q",
        Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\u0000]+$")],
        "A part of the subject; A to Z in whatever case.",
        "receipt",
    ),
)
