"""GET /openapi.json and GET /docs: the specification, and a page that shows it.

They contain no data, so they need no API key. They are made once, at the first request.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from app.api.http.headers import json_ok
from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.frozen import frozen


@frozen
class _Made:
    specification: bytes
    page: bytes
    policy: str


_operation = partial(operation, tag=OperationTag.OPERATION, needs=RequiredPermission.NONE, uses_store=False)


class DocsRoutes:
    """The two routes. `routes`: the described ones, all of them at the first request."""

    def __init__(self, routes: Sequence[BaseRoute], root_path: str) -> None:
        self._routes = routes
        self._root_path = root_path
        self._made: _Made | None = None

    @_operation("GET /openapi.json", "OpenAPI 3.1.", type=dict[str, Any])
    async def get_specification(self, _: Request) -> Response:
        """Get this specification."""
        return json_ok((await self._make()).specification)

    @_operation(
        "GET /docs",
        "A page without scripts, which loads nothing from other servers.",
        media_type="text/html",
        answer_headers={"Content-Security-Policy": "Nothing is loaded, and only the page's own style is applied."},
    )
    async def get_documentation(self, _: Request) -> Response:
        """Read this specification."""
        made = await self._make()
        headers = {
            "content-security-policy": made.policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        return Response(made.page, headers=headers, media_type="text/html")

    async def _make(self) -> _Made:
        if self._made is None:
            self._made = await asyncio.to_thread(_make, [*self._routes], self._root_path)
        return self._made


def _make(routes: Sequence[BaseRoute], root_path: str) -> _Made:
    from app.api.openapi import page as docs_page  # noqa: PLC0415 - it imports Jinja
    from app.api.openapi.document import document  # noqa: PLC0415 - used once, by few processes

    made = document(routes, root_path)
    page, policy = docs_page.render(made)
    return _Made(json.dumps(made).encode(), page, policy)
