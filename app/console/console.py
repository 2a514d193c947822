"""ASGI application of the console: routes, access control, timeouts and error pages; and its mount beside the API."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.api.problems.problem import Problem
from app.console.context import ConsoleContext
from app.console.email_list.page import EmailListPage
from app.console.login import LoginPage
from app.console.overview.page import OverviewPage
from app.console.request import (
    GUEST_COOKIE,
    HOME,
    OPERATOR_COOKIE,
    ORIGINAL_PATH,
    ConsoleRequest,
    PageError,
    read_form,
)
from app.console.sections import ACTIONS, PAGES, TIMEOUTS
from app.console.session import ConsoleSession, Sessions
from app.console.templates_env import STATIC_FILES, static_file
from app.store import StoreError

PAGE_TIMEOUT = 15.0  # seconds

_REQUEST_ID = re.compile("[A-Za-z0-9._~:+/=@-]{1,128}", re.ASCII)
_Endpoint = Callable[[ConsoleRequest], Awaitable[Response]]

READ_FAILED = PageError(503, "The database does not answer", "Nothing could be read. Try again in a few seconds.")
WRITE_FAILED = PageError(
    503,
    "The database does not answer",
    "The change may or may not have been made. Check in a few seconds, before you repeat it.",
)
INVALID_TOKEN = PageError(
    403, "Not done", "The form belongs to another session, or the session has ended. Go back and try again."
)
READ_ONLY = PageError(
    403,
    "Not done",
    "You logged in with the read-only password. Log in with the operators' password to change something.",
)
NO_PAGE = PageError(404, "Not found", "There is no such page.")
INTERNAL_ERROR = PageError(500, "Internal error", "The log has the traceback under the event `crashed`.")


class Console:
    """All pages below HOME."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._sessions = Sessions(context.password, context.read_password)
        login = LoginPage(self._sessions, context.store, context.clock)
        pages: Mapping[str, _Endpoint] = {
            "": OverviewPage(context).show,
            "/emails": EmailListPage(context).show,
            **PAGES,
        }
        self._router = Router(
            [
                *(Route(f"{HOME}/{name}", self._static_file) for name in STATIC_FILES),
                Route(f"{HOME}/login", self._public(login.show), methods=["GET"]),
                Route(f"{HOME}/login", self._public(login.log_in), methods=["POST"]),
                Route(f"{HOME}/logout", self._page(login.log_out), methods=["POST"]),
                *(Route(f"{HOME}{path}", self._page(endpoint), methods=["GET"]) for path, endpoint in pages.items()),
                *(
                    Route(f"{HOME}{path}", self._action(endpoint, TIMEOUTS.get(path, PAGE_TIMEOUT)), methods=["POST"])
                    for path, endpoint in ACTIONS.items()
                ),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer every request with a page, errors included."""
        path: str = scope["path"]
        scope.update({"app": self, "path": path.rstrip("/"), ORIGINAL_PATH: path})
        scope["request_id"] = id = _request_id(Request(scope))
        logs.bind_request(id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", id.encode())]
            await send(message)

        try:
            await self._router(scope, receive, send_with_id)
        except HTTPException as error:
            shown = NO_PAGE if error.status_code == 404 else PageError(error.status_code, "Not possible", error.detail)
            response = self._error_page(Request(scope, receive), shown)
            response.headers.update(error.headers or {})
            await response(scope, receive, send_with_id)

    async def _static_file(self, request: Request) -> Response:
        return static_file(request.url.path.rpartition("/")[2])

    def _public(self, endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def run(request: Request) -> Response:
            return await self._run(request, endpoint, PAGE_TIMEOUT)

        return run

    def _page(self, endpoint: _Endpoint, timeout: float = PAGE_TIMEOUT) -> Callable[[Request], Awaitable[Response]]:
        """Return the route of an endpoint for people who have logged in."""

        async def check_access(console_request: ConsoleRequest) -> Response:
            if console_request.logged_in:
                return await endpoint(console_request)
            if console_request.is_cross_site:
                return console_request.page("cross_site.html")
            return console_request.redirect("/login")

        async def run(request: Request) -> Response:
            return await self._run(request, check_access, timeout)

        return run

    def _action(self, endpoint: _Endpoint, timeout: float) -> Callable[[Request], Awaitable[Response]]:
        """Return the route of an endpoint that changes something, for operators."""

        async def check_role(console_request: ConsoleRequest) -> Response:
            if not console_request.operator:
                raise READ_ONLY
            return await endpoint(console_request)

        return self._page(check_role, timeout)

    async def _run(self, request: Request, endpoint: _Endpoint, timeout: float) -> Response:
        try:
            async with asyncio.timeout(timeout):
                return await endpoint(await self._console_request(request))
        except PageError as error:
            return self._error_page(request, error)
        except Problem as problem:
            return self._error_page(request, PageError(problem.status, "Not done", problem.message))
        except (StoreError, TimeoutError) as error:
            logs.store_failed(f"{request.method} {HOME}", error)
            return self._error_page(request, WRITE_FAILED if request.method == "POST" else READ_FAILED)
        except Exception as error:  # a bug must not drop the connection
            logs.crashed(f"{request.method} {HOME}", error)
            return self._error_page(request, INTERNAL_ERROR)

    async def _console_request(self, request: Request) -> ConsoleRequest:
        """Return the request with its session. Raise PageError if a form has no valid CSRF token."""
        now = self._context.clock.now()
        session = await self._active_session(request, now)
        if request.method != "POST":
            return ConsoleRequest(self._context, request, self._sessions, session, now)
        fields = await read_form(request)
        if session is None or not self._sessions.check_csrf_token(session, fields.get("token", "")):
            raise INVALID_TOKEN
        return ConsoleRequest(self._context, request, self._sessions, session, now, fields)

    def _read_cookies(self, request: Request, now: float) -> list[ConsoleSession]:
        """Return the sessions of valid cookies, an operator's first. They may have been logged out."""
        cookies = (request.cookies.get(name) for name in (OPERATOR_COOKIE, GUEST_COOKIE))
        return [found for cookie in cookies if (found := self._sessions.read(cookie, now))]

    async def _active_session(self, request: Request, now: float) -> ConsoleSession | None:
        """Return the first session that was not logged out."""
        for session in self._read_cookies(request, now):
            if not session.logged_in or not await self._context.store.session_ended(session.nonce):
                return session
        return None

    def _error_page(self, request: Request, error: PageError) -> Response:
        now = self._context.clock.now()
        session = next(iter(self._read_cookies(request, now)), None)
        console_request = ConsoleRequest(self._context, request, self._sessions, session, now)
        return console_request.page("error.html", error.status, title=error.title, message=str(error))


def _request_id(request: Request) -> str:
    """Return the X-Request-Id of the request if it is safe in a log, else a new id."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


def mount_console(console: Console, api: ASGIApp, root_path: str = "") -> ASGIApp:
    """Return an application that sends paths below HOME to the console and all others to the API.

    A gateway may have removed `root_path` or not. The raw path must start with exactly the bytes of HOME, because a
    gateway that closes the console compares them.
    """

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(root_path)
        if scope["type"] == "http" and _is_below_home(scope["raw_path"], root_path) and _is_plain(path):
            await console({**scope, "path": path}, receive, send)
        else:
            await api(scope, receive, send)

    return dispatch


def _is_below_home(raw_path: bytes, root_path: str) -> bool:
    path = raw_path.removeprefix(root_path.encode())
    return path == HOME.encode() or path.startswith(f"{HOME}/".encode())


def _is_plain(path: str) -> bool:
    """Return whether the path has no control characters and no dot segments, which gateways read differently."""
    return path.isprintable() and not {".", ".."} & {*path.split("/")}
