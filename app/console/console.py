"""The console as one ASGI application: which page has which path, who may see it, and what happens when one fails."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.console.audit import AuditPage
from app.console.context import ConsoleContext
from app.console.email import EmailPage
from app.console.emails import EmailListPage
from app.console.login import LoginPage
from app.console.mailbox import MailboxPage
from app.console.overview import OverviewPage
from app.console.request import ASKED, COOKIE, GUEST, HOME, ConsoleRequest, PageError, form
from app.console.session import Session, Sessions
from app.console.templates_env import FILES, file
from app.console.webhooks import WebhookPage
from app.store import StoreError

ANSWERS = 15.0  # seconds in which a page is made
EXAMINES = 38.0  # and one for which the doctor looks

_REQUEST_ID = re.compile("[A-Za-z0-9._~:+/=@-]{1,128}", re.ASCII)
_Endpoint = Callable[[ConsoleRequest], Awaitable[Response]]

UNREAD = PageError(503, "The store does not answer", "Nothing could be read; try again in a moment.")
UNHEARD = PageError(
    503,
    "The store does not answer",
    "What you asked for may be done or not: look again in a moment, before you repeat it.",
)
EXPIRED = PageError(403, "Not done", "The form was not of this session, or the session is over. Go back and try again.")
NOWHERE = PageError(404, "Nothing here", "There is no such page.")
CRASHED = PageError(500, "Something is wrong with Postern", "The log has it under the event `crashed`.")


class Console:
    """All pages below HOME."""

    def __init__(self, desk: ConsoleContext) -> None:
        self._clock = desk.clock
        self._store = desk.store
        self._sessions = Sessions(desk.password)
        door, email, mailbox = LoginPage(self._sessions, desk.store, desk.clock), EmailPage(desk), MailboxPage(desk)
        one_email, one_mailbox = f"{HOME}/emails/{{id:uuid}}", f"{HOME}/mailboxes/{{name}}"
        self._router = Router(
            [
                *(Route(f"{HOME}/{name}", self._file) for name in FILES),
                Route(f"{HOME}/login", self._anybody(door.show), methods=["GET"]),
                Route(f"{HOME}/login", self._anybody(door.log_in), methods=["POST"]),
                Route(f"{HOME}/logout", self._operator(door.log_out), methods=["POST"]),
                Route(HOME, self._operator(OverviewPage(desk).show), methods=["GET"]),
                Route(f"{HOME}/emails", self._operator(EmailListPage(desk).show), methods=["GET"]),
                Route(one_email, self._operator(email.show), methods=["GET"]),
                Route(one_email, self._operator(email.decide), methods=["POST"]),
                Route(one_mailbox, self._operator(mailbox.show), methods=["GET"]),
                Route(one_mailbox, self._operator(mailbox.wish), methods=["POST"]),
                Route(f"{one_mailbox}/examine", self._operator(mailbox.examine, EXAMINES), methods=["POST"]),
                Route(f"{HOME}/audit", self._operator(AuditPage(desk).show), methods=["GET"]),
                Route(f"{HOME}/webhooks", self._operator(WebhookPage(desk).show), methods=["GET"]),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every request is answered by a page."""
        path: str = scope["path"]
        scope.update({"app": self, "path": path.rstrip("/"), ASKED: path})
        scope["request_id"] = id = _request_id(Request(scope))
        logs.bind_request(id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", id.encode())]
            await send(message)

        try:
            await self._router(scope, receive, send_with_id)
        except HTTPException as error:
            sorry = NOWHERE if error.status_code == 404 else PageError(error.status_code, "Not possible", error.detail)
            answer = self._sorry(Request(scope, receive), sorry)
            answer.headers.update(error.headers or {})
            await answer(scope, receive, send_with_id)

    async def _file(self, request: Request) -> Response:
        return file(request.url.path.rpartition("/")[2])

    def _anybody(self, endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def run(request: Request) -> Response:
            return await self._answered(request, endpoint, ANSWERS)

        return run

    def _operator(self, endpoint: _Endpoint, seconds: float = ANSWERS) -> Callable[[Request], Awaitable[Response]]:
        async def only(visit: ConsoleRequest) -> Response:
            if visit.session is not None and visit.session.operator:
                return await endpoint(visit)
            if visit.from_elsewhere:
                return visit.page("again.html")
            return visit.redirect("/login")

        async def run(request: Request) -> Response:
            return await self._answered(request, only, seconds)

        return run

    async def _answered(self, request: Request, endpoint: _Endpoint, seconds: float) -> Response:
        try:
            async with asyncio.timeout(seconds):
                return await endpoint(await self._visit(request))
        except PageError as refusal:
            return self._sorry(request, refusal)
        except (StoreError, TimeoutError) as error:
            logs.store_failed(f"{request.method} {HOME}", error)
            return self._sorry(request, UNHEARD if request.method == "POST" else UNREAD)
        except Exception as error:  # a bug of ours must not drop the connection
            logs.crashed(f"{request.method} {HOME}", error)
            return self._sorry(request, CRASHED)

    async def _visit(self, request: Request) -> ConsoleRequest:
        """Who it is; of a form also that it is one of ours. Raises Refusal."""
        now = self._clock.now()
        session = await self._session_in_force(request, now)
        if request.method != "POST":
            return ConsoleRequest(request, self._sessions, session, now)
        fields = await form(request)
        if session is None or not self._sessions.check_csrf_token(session, fields.get("token", "")):
            raise EXPIRED
        return ConsoleRequest(request, self._sessions, session, now, fields)

    def _read_cookies(self, request: Request, now: float) -> list[Session]:
        """An operator's session first. The store is not asked."""
        cookies = (request.cookies.get(name) for name in (COOKIE, GUEST))
        return [found for cookie in cookies if (found := self._sessions.read(cookie, now))]

    async def _session_in_force(self, request: Request, now: float) -> Session | None:
        """The first one that was not logged out."""
        for session in self._read_cookies(request, now):
            if not session.operator or not await self._store.session_ended(session.nonce):
                return session
        return None

    def _sorry(self, request: Request, refusal: PageError) -> Response:
        now = self._clock.now()
        session = next(iter(self._read_cookies(request, now)), None)
        visit = ConsoleRequest(request, self._sessions, session, now)
        return visit.page("refusal.html", refusal.status, title=refusal.title, sentence=str(refusal))


def _request_id(request: Request) -> str:
    """The gateway's own, if it can be put into a log, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


def mount_console(console: Console, api: ASGIApp, root_path: str = "") -> ASGIApp:
    """Both as one application: paths below HOME go to the console, whether a gateway has removed `root_path` or not.

    Only where the request has exactly the bytes of HOME: a gateway that closes it compares them.
    """

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(root_path)
        if scope["type"] == "http" and _is_below_home(scope["raw_path"], root_path) and _is_plain(path):
            await console({**scope, "path": path}, receive, send)
        else:
            await api(scope, receive, send)

    return either


def _is_below_home(raw_path: bytes, root_path: str) -> bool:
    path = raw_path.removeprefix(root_path.encode())
    return path == HOME.encode() or path.startswith(f"{HOME}/".encode())


def _is_plain(path: str) -> bool:
    """Whether a gateway and Postern read it alike: without control characters and dot segments."""
    return path.isprintable() and not {".", ".."} & {*path.split("/")}
