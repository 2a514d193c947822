"""ASGI middleware around the routes, in one layer, because each layer costs two calls for each message of a request.

Before the route: request id, limit of concurrent requests per network, path check, 503 while stopping. A submission
goes to its route past the router. Response: rate-limit headers, large bodies in chunks. Afterwards: body memory is
released; exceptions become problems, in Postmark's form on its paths, and refused submissions are audited.
"""

import asyncio
import random
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.api.auth.limits import MEMORY_BUDGET, Caller, MemoryBudget, RateLimitHeaders
from app.api.auth.refusal_audit import SUBMISSION_PATHS, RefusalAudit
from app.api.http.headers import FIELDS
from app.api.postmark import errors
from app.api.problems.problem import (
    DATABASE_UNAVAILABLE,
    InternalError,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Problem,
    Unavailable,
    problem_response,
)
from app.api.server import unknown_path
from app.mail import safe_text
from app.quota import Quota, network
from app.store import StoreError

INTERNAL = frozenset({"/healthz", "/readyz", "/metrics"})  # without authentication; no gateway may forward them
_SLASHES = re.compile("/{2,}")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f]|/[.]{1,2}(?:/|$)")  # controls, dot segments

RESPONSE_CHUNK_SIZE = 64 * 1024  # bytes of a response in one ASGI message
MAX_REQUESTS_PER_CALLER = 450  # in progress for one address or API key: half of the connections
_JSON = (b"content-type", b"application/json")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}")
_STOPPED = "Postern stopped before it was done. Send the request again, with the same Idempotency-Key if it had one."
_ids = random.Random()  # noqa: S311 - request ids are not secret


def _route_path(given: str, root_path: str) -> str:
    """Return the path for the routes: slashes joined, and `root_path` removed once, if it is there in the same case."""
    path = _joined(given)
    if root_path and f"{path}/".startswith(f"{root_path}/"):
        return path[len(root_path) :] or "/"
    return path


def _check_path(scope: Scope) -> None:
    """Refuse control characters, dot segments, and any other spelling of an internal path. Raises NotFound.

    A gateway compares paths before Postern reads them. What both read differently would pass its rules; so an internal
    path is answered only where the request has exactly its bytes.
    """
    path: str = scope["path"]
    if _UNSAFE.search(path) or (path in INTERNAL and scope["raw_path"] != path.encode()):
        shown = safe_text.escape_controls(safe_text.cut(path))
        raise NotFound(f"There is nothing at {shown}.")


def _joined(path: str) -> str:
    """Return `/emails` for `//emails` and `/emails/`, which some SDKs build from their base URL."""
    if "//" in path or path.endswith("/"):
        return _SLASHES.sub("/", path).rstrip("/") or "/"
    return path


class PlainRoute(APIRoute):
    """Route whose endpoint maps a request to a response, or to the JSON of a 200. FastAPI describes it but resolves no
    dependencies, which would double the cost of POST /emails before the commit."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            answer = await endpoint(Request(scope, receive))
            if not isinstance(answer, bytes):
                await answer(scope, receive, send)
                return
            fields = [(b"content-length", b"%d" % len(answer)), _JSON]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": answer})

        self.app = app


class RequestMiddleware:
    """Outermost layer of the API. It replaces FastAPI's own layers (telemetry, body limit, error pages, exit stacks).

    `draining` is true once the process is stopping: then new requests are refused, and those in progress are finished.
    `root_path` is an optional prefix of all paths, which a gateway may have removed.
    """

    def __init__(
        self, app: FastAPI, draining: Callable[[], bool], body_budget: MemoryBudget | None = None, root_path: str = ""
    ) -> None:
        self._root_path = root_path
        self._draining = draining
        self._body_budget = body_budget or MemoryBudget(0)
        self._requests = Quota(sys.maxsize, MAX_REQUESTS_PER_CALLER)
        self.set_routes(app)

    def set_routes(
        self, app: FastAPI, rates: RateLimitHeaders | None = None, refusals: RefusalAudit | None = None
    ) -> None:
        """Replace the routes, and the sources of rate-limit headers and of audit entries about refusals."""
        self._app = app
        self._routes = app.router
        self._submissions = {
            route.path: route
            for route in app.routes
            if isinstance(route, APIRoute) and route.path in SUBMISSION_PATHS and route.methods == {"POST"}
        }
        is_documented = any(getattr(route, "path", "") == unknown_path.DOCS_PATH for route in app.routes)
        self._docs = f"{self._root_path}{unknown_path.DOCS_PATH}" if is_documented else None
        self._rates = rates
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add X-Request-Id and the rate-limit headers to the response, and turn every exception into one.

        An exception after the response has started closes the connection, so that the caller notices it.
        """
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        caller, request_id = self._bind(scope)
        started, problem = False, None

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                rate_limit = self._rates.headers(caller.key) if self._rates and caller.key else ()
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id), *rate_limit]
            elif len(message.get("body", b"")) > RESPONSE_CHUNK_SIZE:
                await _send_in_chunks(message, send)
                return
            await send(message)

        try:
            application = await self._application(scope, caller)
            await application(scope, receive, send_with_id)
        except (Exception, asyncio.CancelledError) as error:
            problem = _problem(error, scope, self._docs)
            if started:
                raise
        finally:
            self._body_budget.release(scope)
            if problem is None or started:
                caller.release()
        if problem is not None:
            await self._refuse(problem, scope, receive, send_with_id)

    def _bind(self, scope: Scope) -> tuple[Caller, bytes]:
        """Put what the routes need into the scope; return the caller and the id of the request."""
        scope[FIELDS] = fields = dict(reversed(scope["headers"]))
        request_id = _request_id(fields.get(b"x-request-id"))
        client = scope.get("client")
        scope["caller"] = caller = Caller(self._requests, client[0] if client else "")
        scope["app"], scope[MEMORY_BUDGET] = self._app, self._body_budget
        scope["path"] = _route_path(scope["path"], self._root_path)
        scope["request_id"] = request_id.decode()
        logs.bind_request(scope["request_id"])
        return caller, request_id

    async def _application(self, scope: Scope, caller: Caller) -> ASGIApp:
        """Return the route of a submission, which needs none of what the router does, or the router, once the request
        may start.

        Raises TooManyRequests, NotFound for a path that is refused, and Unavailable while stopping.
        """
        if start := self._admit(scope, caller):
            await start
        _check_path(scope)
        if self._draining() and scope["path"] not in INTERNAL:
            raise Unavailable("Postern is stopping. Send the request again in a moment.", retry_after=5)
        route = self._submissions.get(scope["path"]) if scope["method"] == "POST" else None
        if route is None:
            return self._routes
        scope["route"] = route
        return route.app

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        problem.__context__ = None  # it would keep the body in memory until the response is sent
        if self._refusals:
            self._refusals.record(scope, problem)
        postmark = errors.render(problem) if errors.is_postmark_request(scope) else None
        try:
            await problem_response(problem.with_traceback(None), scope, postmark, self._docs)(scope, receive, send)
        finally:
            scope["caller"].release()

    async def close(self) -> None:
        """Write the pending audit entries, after the last request."""
        if self._refusals:
            await self._refusals.close()

    def _admit(self, scope: Scope, caller: Caller) -> Awaitable[None] | None:
        """Count the request for its network unless its path is internal. Raises TooManyRequests.

        Return None, or an awaitable that ends when the request may start.
        """
        if scope["path"] in INTERNAL:
            return self._body_budget.starts.take(scope["path"])  # so that a crowd of one delays no other
        address = network(caller.client)
        if address:
            caller.acquire(address)
        return self._body_budget.starts.take(address)


async def _send_in_chunks(message: Message, send: Send) -> None:
    """Send a large body no faster than the caller reads it, so that its memory stays reserved until it is sent."""
    content = message["body"]
    for at in range(0, len(content), RESPONSE_CHUNK_SIZE):
        more = message.get("more_body", False) or at + RESPONSE_CHUNK_SIZE < len(content)
        await send({"type": message["type"], "body": content[at : at + RESPONSE_CHUNK_SIZE], "more_body": more})


def _request_id(given: bytes | None) -> bytes:
    """Return the caller's id if it is safe in a log, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else b"%024x" % _ids.getrandbits(96)


def _problem(error: BaseException, scope: Scope, docs: str | None) -> Problem:
    """Return the problem that describes an exception. Starlette's router raises HTTPException; a request is cancelled
    when it exceeds the time that a stop waits. `docs`: path of the documentation."""
    match error:
        case Problem():
            return error
        case StoreError():
            logs.store_failed(f"{scope['method']} {scope['path']}", error)
            return Unavailable(DATABASE_UNAVAILABLE, retry_after=5)
        case asyncio.CancelledError():
            return Unavailable(_STOPPED, retry_after=5)
        case HTTPException(status_code=404):
            return NotFound(unknown_path.sentence(scope["path"], docs))
        case HTTPException(status_code=405):
            return MethodNotAllowed(scope["method"], _allowed(scope))
        case HTTPException() if error.status_code < 500:
            return MalformedBody(str(error.detail))
    logs.crashed(f"{scope['method']} {scope['path']}", error)
    return InternalError()


def _allowed(scope: Scope) -> str:
    """Return the methods of all routes at this path; Starlette names those of the first one only."""
    methods: set[str] = set()
    for route in scope["app"].routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods
    return ", ".join(sorted(methods))
