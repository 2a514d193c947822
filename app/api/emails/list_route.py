"""GET /emails: accepted emails, newest first, in pages."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from app.api.context import ApiContext
from app.api.emails.list_query import EmailQuery
from app.api.emails.view import ListedEmail, listed
from app.api.http.api_route import ApiRequest
from app.api.http.headers import json_object
from app.api.http.params import INVALID_LIMIT, Page, list_object
from app.api.openapi.email_samples import HEAD
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.openapi.types import ID, Id, describe


class EmailPage(Page):
    """Page of emails, newest first."""

    data: list[ListedEmail]

    next: Annotated[
        Id | None,
        describe("Value of `after`, or of `before` in that direction, for the next page. null: the last page."),
    ]


_PAGE = {**list_object([HEAD], has_more=True), "next": ID}


class ListRoute:
    """Route of the list."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    @operation(
        "listEmails",
        "Find emails",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        answer=Answer("A page of accepted emails, newest first.", EmailPage, {"a page": _PAGE}),
        errors=(invalid("limit", INVALID_LIMIT),),
        description="Give `after` or `before`, not both. Filters can be combined. If few of many emails match, a page "
        "may be short or empty, and still have a `next`.",
    )
    async def list_(self, request: ApiRequest, query: Annotated[EmailQuery, Query()]) -> Response:
        """GET /emails: one page. `next` is the `after` (or `before`, in that direction) of the next page.

        A page may be short or empty and still have a `next`, if a filter matches few of many emails.
        """
        now, oldest_first = self._context.clock.now(), query.before is not None
        wanted = query.selection(request.key.scope)
        page = await self._context.store.list_emails(wanted, query.limit, now, oldest_first=oldest_first)
        emails = list_object((listed(email, now) for email in page.emails), has_more=page.next_id is not None)
        return json_object({**emails, "next": None if page.next_id is None else str(page.next_id)})
