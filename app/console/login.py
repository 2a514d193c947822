"""The way in and out: the password, once it is right, begins a session. The password itself goes nowhere."""

from starlette.responses import Response

from app import logs
from app.clock import Clock
from app.console.request import ConsoleRequest
from app.console.session import LoginThrottle, Sessions
from app.store import Store

_WRONG = "That is not the password."


class LoginPage:
    """The login page, and the button that ends a session."""

    def __init__(self, sessions: Sessions, store: Store, clock: Clock) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock
        self._guard = LoginThrottle()

    async def show(self, visit: ConsoleRequest) -> Response:
        """GET /console/login. Its form has a token too, so a visitor gets a session that opens nothing."""
        if visit.session is not None and visit.session.operator:
            return visit.redirect()
        return self._asked(visit, 200)

    async def log_in(self, visit: ConsoleRequest) -> Response:
        """POST /console/login: each attempt waits by those before it; the right password always gets in."""
        address = visit.request.client.host if visit.request.client else ""
        await self._clock.sleep(self._guard.begin(address, self._clock.monotonic()))
        if not self._sessions.check_password(visit.form.get("password", "")):
            logs.console_refused(address)
            return self._asked(visit, 403, _WRONG)
        self._guard.succeed(address)
        logs.console_entered(address)
        return visit.keep(visit.redirect(), self._sessions.begin(visit.now, operator=True))

    async def log_out(self, visit: ConsoleRequest) -> Response:
        """POST /console/logout."""
        if visit.session is not None:
            await self._store.end_session(visit.session.nonce, visit.session.until, visit.now)
        return visit.forget(visit.redirect("/login"))

    def _asked(self, visit: ConsoleRequest, status: int, wrong: str = "") -> Response:
        guest = self._sessions.begin(visit.now, operator=False)
        token = self._sessions.token(guest)
        return visit.keep(visit.page("login.html", status, wrong=wrong, guest_token=token), guest)
