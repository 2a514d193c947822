"""GET /emails: what was handed in, the newest first, page by page."""

import json

from starlette.requests import Request
from starlette.responses import Response

from app.api import query
from app.api.edge import Edge
from app.api.email_object import listed
from app.api.keys import Keyring
from app.api.wire import success


class Listing:
    """The route."""

    def __init__(self, edge: Edge, keyring: Keyring) -> None:
        self._edge = edge
        self._keyring = keyring

    async def list_(self, request: Request) -> Response:
        """GET /emails. `next` is what to give as `after` (or as `before`, going that way) for the next page.

        Where a filter finds little in much, a page may be short or empty, and still have a `next`.
        """
        key = await self._keyring.reader(request)
        wanted = query.read(request.query_params, key.scope)
        now = self._edge.clock.now()
        page = await self._edge.store.page(wanted.asked, wanted.limit, now, oldest_first=wanted.oldest_first)
        answer = {
            "object": "list",
            "has_more": page.rest is not None,
            "data": [listed(email, now) for email in page.emails],
            "next": page.rest and str(page.rest),
        }
        return success(json.dumps(answer).encode())
