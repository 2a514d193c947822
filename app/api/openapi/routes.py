"""GET /openapi.json, and GET /docs with its script: a page of the specification, with the address of the request.

They contain no data, so they need no API key. Specification and page are made once, at the first request.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from app.api.openapi.operation import OperationTag, RequiredPermission, operation
from app.api.openapi.types import BASE_URL
from app.cached_result import CachedResult
from app.frozen import frozen

_SCRIPT = Path(__file__).with_name("docs.js")
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


@frozen
class _Made:
    specification: bytes
    page: bytes
    policy: str


_operation = partial(operation, tag=OperationTag.OPERATION, needs=RequiredPermission.NONE, uses_store=False)


class DocsRoutes:
    """Routes of the specification. `routes`: the described ones, all of them at the first request."""

    def __init__(self, routes: Sequence[BaseRoute], root_path: str) -> None:
        # Made once: FastAPI fails where two threads describe the same routes.
        self._made = CachedResult(
            lambda: asyncio.to_thread(_make, [*routes], root_path), seconds=math.inf, monotonic=time.monotonic
        )

    @_operation("GET /openapi.json", "OpenAPI 3.1.", type=dict[str, Any])
    async def get_specification(self, _: Request) -> bytes:
        """Get this specification."""
        return (await self._made.get()).specification

    @_operation(
        "GET /docs",
        "A page that loads only its script, from this server, and can be read without it.",
        media_type="text/html",
        answer_headers={"Content-Security-Policy": "Allows the page's own style and the script of this server."},
    )
    async def get_documentation(self, request: Request) -> Response:
        """Read this specification."""
        made = await self._made.get()
        page = made.page.replace(BASE_URL.encode(), _base_url(request).encode())
        return Response(page, headers={**_HEADERS, "content-security-policy": made.policy}, media_type="text/html")

    @_operation("GET /docs/docs.js", "JavaScript.", media_type="text/javascript")
    async def get_documentation_script(self, _: Request) -> Response:
        """Get the script of the documentation page."""
        return Response(_SCRIPT.read_bytes(), headers=_HEADERS, media_type="text/javascript")


def _base_url(request: Request) -> str:
    """Return scheme, host and port by which the client reaches this server; the usual ones if the Host is unusual."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else BASE_URL


def _make(routes: Sequence[BaseRoute], root_path: str) -> _Made:
    from app.api.openapi import html as docs_page  # noqa: PLC0415 - it imports Jinja
    from app.api.openapi.document import document  # noqa: PLC0415 - used once, by few processes

    made = document(routes, root_path)
    page, policy = docs_page.render(made)
    return _Made(json.dumps(made).encode(), page, policy)
