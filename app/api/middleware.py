"""What happens to every request around the routes: plain ASGI, in the order of `create_app`. Knows no route."""

import os
import re
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.api.errors import Crashed, Unavailable, answer
from app.api.wire import header

_SLASHES = re.compile("/{2,}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")
ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz"})


class Paths:
    """`//emails` and `/emails/` are `/emails`: some SDKs join their base URL so. Never a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "/")
        if "//" in path or (len(path) > 1 and path.endswith("/")):
            scope = {**scope, "path": _SLASHES.sub("/", path).rstrip("/") or "/"}
        await self._app(scope, receive, send)


class RequestId:
    """Every answer bears X-Request-Id: the caller's own, if it can be put into a log, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or os.urandom(12).hex().encode()
        scope["request_id"] = request_id.decode()
        structlog.contextvars.bind_contextvars(request_id=scope["request_id"])

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _given_id(scope: Scope) -> bytes | None:
    given = header(scope, b"x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else None


class Crashes:
    """A bug becomes an answer here, inside the application: further out the server would drop the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:
            logs.crashed(f"{scope['method']} {scope['path']}", error)
            if started:  # half an answer is out: only closing the connection tells the caller so
                raise
            await answer(Crashed(), scope)(scope, receive, send)


class Draining:
    """Once a stop began, new requests go elsewhere; those already inside are finished."""

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED or not self._draining():
            await self._app(scope, receive, send)
            return
        stopping = Unavailable("Postern is stopping. Send the request again in a moment.", retry_after=5)
        await answer(stopping, scope)(scope, receive, send)
