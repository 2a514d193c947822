"""Login page, login and logout of the console."""

from starlette.responses import Response

from app import logs
from app.clock import Clock
from app.console.request import ConsoleRequest
from app.console.session import LoginThrottle, Role, Sessions
from app.store import Store

_LOGIN_REFUSED = "The password is wrong."


class LoginPage:
    """Routes that begin and end a session."""

    def __init__(self, sessions: Sessions, store: Store, clock: Clock) -> None:
        self._sessions = sessions
        self._store = store
        self._clock = clock
        self._throttle = LoginThrottle()

    async def show(self, request: ConsoleRequest) -> Response:
        """GET /console/login. The form needs a CSRF token, so an anonymous visitor gets a guest session."""
        if request.logged_in:
            return request.redirect()
        return self._login_form(request, 200)

    async def log_in(self, request: ConsoleRequest) -> Response:
        """POST /console/login. The throttle delays each attempt, and never refuses the right password."""
        address = request.client
        await self._clock.sleep(self._throttle.begin(address, self._clock.monotonic()))
        role = self._sessions.role_of(request.form.get("password", ""))
        if role is None:
            logs.console_login_failed(address)
            return self._login_form(request, 403, _LOGIN_REFUSED)
        self._throttle.uncount_last(address)
        logs.console_login(address)
        return request.set_session(request.redirect(), self._sessions.begin(request.now, role))

    async def log_out(self, request: ConsoleRequest) -> Response:
        """POST /console/logout."""
        if request.session is not None:
            await self._store.end_session(request.session.nonce, request.session.expires_at, request.now)
        return request.delete_session(request.redirect("/login"))

    def _login_form(self, request: ConsoleRequest, status: int, error: str = "") -> Response:
        guest = self._sessions.begin(request.now, Role.GUEST)
        token = self._sessions.token(guest)
        return request.set_session(request.page("login.html", status, error=error, guest_token=token), guest)
