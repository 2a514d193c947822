"""GET /emails: accepted emails, newest first, in pages, and the query parameters that select them."""

from typing import Annotated, Any, Self, TypeAlias
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from app.api.context import ApiContext
from app.api.emails.view import ListedEmail, listed
from app.api.http.api_route import ApiRequest
from app.api.http.params import DEFAULT_PAGE, INVALID_LIMIT, Page, PageLimit, check_direction, list_object, uuid
from app.api.openapi.email_samples import HEAD
from app.api.openapi.email_types import EmailAddress
from app.api.openapi.errors import invalid
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import ID, Id, describe
from app.mail.lifecycle import LastEvent
from app.mail.message.message import Lane
from app.mail.times import moment
from app.store.db import uuid7
from app.store.read import email_filters
from app.store.read.records import Selection


def _first_id_at(text: str) -> UUID:
    at = moment(text)
    if at is None:
        raise ValueError("It must be a time in ISO 8601 like 2026-11-23T20:08:28Z; write a + in it as %2B.")
    return uuid7.first_at(at)


_TAG = r"^[A-Za-z0-9_-]{1,256}(:[^\u0000]{0,1000})?$"
_Cursor: TypeAlias = Annotated[UUID | None, PlainValidator(email_filters.email_id, Id)]
_Address: TypeAlias = Annotated[str | None, PlainValidator(email_filters.address, EmailAddress)]
_Time: TypeAlias = Annotated[
    UUID | None,
    PlainValidator(_first_id_at, Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]),
]


class EmailQuery(BaseModel):
    """Filters and page of a list of emails."""

    limit: PageLimit = describe("Emails on a page; 20 by default.", default=DEFAULT_PAGE, examples=[DEFAULT_PAGE])
    after: _Cursor = describe("The id of an email: those that were accepted before it.", default=None, examples=[ID])
    before: _Cursor = describe("The id of an email: those that were accepted after it.", default=None)
    last_event: Annotated[LastEvent | None, PlainValidator(email_filters.last_event, LastEvent)] = describe(
        "The state of the emails.", default=None
    )
    to: _Address = describe("A recipient, also of cc and bcc, in any case.", default=None)
    sender: _Address = describe("The sender, in any case.", default=None, alias="from")
    tag: Annotated[  # FastAPI would read a tuple from several parameters
        Any, PlainValidator(email_filters.tag, Annotated[str, Field(pattern=_TAG)])
    ] = describe(
        "The name of a tag, or `name:value`. Tags from Postmark's SDKs may have any value.",
        default=None,
        examples=["category:receipt"],
    )
    key: Annotated[UUID | None, PlainValidator(uuid, Id)] = describe(
        "The id of the API key that sent them. A key without full access sees its own emails only.", default=None
    )
    lane: Annotated[Lane | None, PlainValidator(email_filters.lane, Lane)] = describe("The lane.", default=None)
    created_after: _Time = describe("Accepted at this time or later. Write a + in it as %2B.", default=None)
    created_before: _Time = describe("Accepted before this time.", default=None)
    q: Annotated[
        str | None,
        PlainValidator(
            email_filters.subject,
            Annotated[str, Field(min_length=1, max_length=email_filters.MAX_SUBJECT_LENGTH, pattern=r"^[^\u0000]+$")],
        ),
    ] = describe("A part of the subject; A to Z in any case.", default=None, examples=["receipt"])

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        check_direction(self.after, self.before)
        return self

    def selection(self, key_id: UUID | None) -> Selection:
        """Return the selected emails. `key_id` restricts them to one key."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return email_filters.selection({**values, "from": self.sender, "subject": self.q}, key_id)


class EmailList(Page):
    """Page of emails, newest first."""

    data: list[ListedEmail]

    next: Annotated[
        Id | None,
        describe("Value of `after`, or of `before` in that direction, for the next page. null: the last page."),
    ]


class ListRoute:
    """Route of the list."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @operation(
        "GET /emails",
        "A page of accepted emails, newest first.",
        {"a page": {**list_object(EmailList, [HEAD], has_more=True), "next": ID}},
        tag=OperationTag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        errors=(invalid("limit", INVALID_LIMIT),),
    )
    async def list_emails(self, request: ApiRequest, query: Annotated[EmailQuery, Query()]) -> EmailList:
        """Find emails.

        Give `after` or `before`, not both. Filters can be combined. If few of many emails match, a page may be short or
        empty, and still have a `next`.
        """
        now, oldest_first = self._context.clock.now(), query.before is not None
        wanted = query.selection(request.key.scope)
        page = await self._context.store.list_emails(wanted, query.limit, now, oldest_first=oldest_first)
        found = list_object(EmailList, (listed(email, now) for email in page.emails), has_more=page.next_id is not None)
        return {**found, "next": None if page.next_id is None else str(page.next_id)}
