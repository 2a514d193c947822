"""GET /emails: what was handed in, the newest first, page by page."""

import json
from typing import Annotated, Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app.api.auth.authenticator import Authenticator
from app.api.context import ApiContext
from app.api.emails import list_query
from app.api.emails.view import ListedEmail, listed
from app.api.http.headers import json_ok
from app.api.openapi.email_types import HEAD
from app.api.openapi.errors import invalid
from app.api.openapi.operation import Answer, RequiredPermission, Tag, operation
from app.api.openapi.types import ID, Id, describe


class EmailPage(TypedDict):
    """Some emails, the newest first."""

    object: Literal["list"]
    has_more: bool
    data: list[ListedEmail]
    next: Annotated[
        Id | None,
        describe("Value of `after`, or of `before` in that direction, for the next page. null: the last page."),
    ]


_PAGE = {"object": "list", "has_more": True, "data": [HEAD], "next": ID}


class ListRoute:
    """The route."""

    def __init__(self, edge: ApiContext, keyring: Authenticator) -> None:
        self._edge = edge
        self._keyring = keyring

    @operation(
        "listEmails",
        "Find emails",
        tag=Tag.EMAILS,
        needs=RequiredPermission.READ_ACCESS,
        parameters=list_query.PARAMETERS,
        answer=Answer("A page of the emails that were handed in, the newest first.", EmailPage, {"a page": _PAGE}),
        errors=(invalid("limit", "It must be a whole number from 1 to 100."),),
        description="Give `after` or `before`, not both. Filters can be combined. Where they find little in much, a "
        "page may be short or empty, and still have a `next`.",
    )
    async def list_(self, request: Request) -> Response:
        """GET /emails: one page. `next` is the `after` (or `before`, in that direction) of the next page.

        A page may be short or empty and still have a `next`, if a filter matches few of many emails.
        """
        key = await self._keyring.read_access(request)
        wanted = list_query.read(request.query_params, key.scope)
        now = self._edge.clock.now()
        page = await self._edge.store.list_emails(wanted.asked, wanted.limit, now, oldest_first=wanted.oldest_first)
        answer: EmailPage = {
            "object": "list",
            "has_more": page.next_id is not None,
            "data": [listed(email, now) for email in page.emails],
            "next": None if page.next_id is None else str(page.next_id),
        }
        return json_ok(json.dumps(answer).encode())
