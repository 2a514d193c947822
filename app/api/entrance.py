"""What happens to every request around the routes, and which exception becomes which answer. Knows no route.

One wrapper and not a stack of them: at every layer each message of each request would pass two more calls.
"""

import asyncio
import random
import re
from collections.abc import Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from app import logs
from app.api import paths, postmark_errors
from app.api.body import ROOM, Room
from app.api.errors import Crashed, MalformedBody, MethodNotAllowed, NotFound, Problem, Unavailable, answer
from app.api.rates import Rates
from app.api.refusals import Caller, Refusals
from app.api.wire import header
from app.store import StoreError

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")
_CUT = "Postern stopped before it was done. Send the request again, with the same Idempotency-Key if it had one."
_ids = random.Random()  # noqa: S311 - they tell requests apart, they keep no secret


class Entrance:
    """The routes of `app` as one ASGI application.

    It takes the place of FastAPI's own layers (telemetry, body limit, error pages, exit stacks), which have nothing to
    do here. `draining` is true once a stop began: then new requests go elsewhere, and those inside are finished.
    `root_path` may stand before any path: a gateway takes it off or does not.
    """

    def __init__(
        self, app: FastAPI, draining: Callable[[], bool], bytes_in_flight: int = 0, root_path: str = ""
    ) -> None:
        self._root_path = root_path
        self._draining = draining
        self._room = Room(bytes_in_flight)
        self.lead_to(app)

    def lead_to(self, app: FastAPI, rates: Rates | None = None, refusals: Refusals | None = None) -> None:
        """These routes from now on."""
        self._app = app
        self._routes = app.router
        self._rates = rates
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every answer bears X-Request-Id, and what is left to the caller's API key.

        Every exception becomes an answer: further out the server would drop the connection. Only half an answer cannot
        be mended: closing the connection tells the caller so.
        """
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        request_id, caller = _request_id(scope), Caller()
        path = paths.route_path(scope["path"], self._root_path)
        facts = {"app": self._app, "path": path, "request_id": request_id.decode()}
        scope.update(facts | {"caller": caller, ROOM: self._room})
        logs.bind_request(scope["request_id"])
        started, problem = False, None

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                left = self._rates.headers(caller.key) if self._rates and caller.key else ()
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id), *left]
            await send(message)

        try:
            paths.check(scope)
            self._check_draining(scope["path"])
            await self._routes(scope, receive, send_with_id)
        except (Exception, asyncio.CancelledError) as error:
            problem = _problem(error, scope)
            if started:
                raise
        finally:
            self._room.free(scope)
        if problem is not None:
            problem.__context__ = None  # it would keep what was read of the body as long as the answer takes
            if self._refusals:
                self._refusals.note(scope, problem)
            form = postmark_errors.render(problem) if postmark_errors.speaks(scope) else None
            await answer(problem.with_traceback(None), scope, form)(scope, receive, send_with_id)

    async def close(self) -> None:
        """Write down what is not yet, once nobody asks any more."""
        if self._refusals:
            await self._refusals.close()

    def _check_draining(self, path: str) -> None:
        if self._draining() and path not in paths.INTERNAL:
            raise Unavailable("Postern is stopping. Send the request again in a moment.", retry_after=5)


def _request_id(scope: Scope) -> bytes:
    """The caller's own, if it can be put into a log, else a new one."""
    given = header(scope, b"x-request-id")
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return _ids.randbytes(12).hex().encode()


def _problem(error: BaseException, scope: Scope) -> Problem:
    """What the caller is told. Not Found and the like are what Starlette's router raises by itself; cancelled is what
    has not ended when a stop has waited long enough."""
    match error:
        case Problem():
            return error
        case StoreError():
            logs.store_failed(f"{scope['method']} {scope['path']}", error)
            sorry = "The email store takes nothing at the moment. Nothing was kept; try again."
            return Unavailable(sorry, retry_after=5)
        case asyncio.CancelledError():
            return Unavailable(_CUT, retry_after=5)
        case HTTPException(status_code=404):
            return NotFound(f"There is nothing at {scope['path']}.")
        case HTTPException(status_code=405):
            return MethodNotAllowed(scope["method"], _allowed(scope))
        case HTTPException() if error.status_code < 500:
            return MalformedBody(str(error.detail))
    logs.crashed(f"{scope['method']} {scope['path']}", error)
    return Crashed()


def _allowed(scope: Scope) -> str:
    """The methods of every route at this path: Starlette would name those of the first one only."""
    methods: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))
