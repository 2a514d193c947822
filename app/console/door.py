"""The way in and out: the password, once it is right, begins a session. The password itself goes nowhere."""

import math

from starlette.responses import Response

from app import logs
from app.clock import Clock
from app.console.session import Guard, Sessions
from app.console.visit import Visit

_WRONG = "That is not the password."


class Door:
    """The login page, and the button that ends a session."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._guard = Guard()

    async def show(self, visit: Visit) -> Response:
        """GET /console/login. Its form has a token too, so a visitor gets a session that opens nothing."""
        if visit.session is not None and visit.session.operator:
            return visit.redirect()
        return self._asked(visit, 200)

    async def enter(self, visit: Visit) -> Response:
        """POST /console/login: slower with each wrong password."""
        address, now = visit.request.client.host if visit.request.client else "", self._clock.monotonic()
        if wait := self._guard.wait(address, now):
            sorry = self._asked(visit, 429, f"Too many wrong passwords: try again in {math.ceil(wait)} s.")
            sorry.headers["retry-after"] = str(math.ceil(wait))
            return sorry
        if not self._sessions.knows(visit.form.get("password", "")):
            self._guard.wrong(address, now)
            logs.console_refused(address)
            return self._asked(visit, 403, _WRONG)
        logs.console_entered(address)
        return visit.keep(visit.redirect(), self._sessions.begin(visit.now, operator=True))

    async def leave(self, visit: Visit) -> Response:
        """POST /console/logout."""
        if visit.session is not None:
            self._sessions.end(visit.session, visit.now)
        return visit.forget(visit.redirect("/login"))

    def _asked(self, visit: Visit, status: int, wrong: str = "") -> Response:
        guest = self._sessions.begin(visit.now, operator=False)
        token = self._sessions.token(guest)
        return visit.keep(visit.page("login.html", status, wrong=wrong, guest_token=token), guest)
