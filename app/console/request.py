"""One request of a person: whose it is, what the form says, and how it is answered. Knows no page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console.session import Session, Sessions
from app.console.templates_env import HEADERS, page
from app.store.keys.audit_records import Actor

HOME = "/console"
ASKED = "postern.asked"  # in the scope: the path as the browser has it
WHO = "console"  # in the log and in the audit
COOKIE = "postern_console"
GUEST = "postern_console_guest"  # of the login page alone: who is in stays in, though a link from elsewhere leads there
MAX_FORM_BYTES = 16 * 1024  # octets


class PageError(Exception):
    """Ends a visit with a page that says why."""

    def __init__(self, status: int, title: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.title = status, title


@dataclass(frozen=True, slots=True)
class ConsoleRequest:
    """A request with its session and its form; `now` in epoch seconds."""

    request: Request
    sessions: Sessions
    session: Session | None
    now: float
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """Where the console begins, seen from this page: a gateway may have put anything before it."""
        asked: str = self.request.scope[ASKED]
        return "../" * (asked.count("/") - 1) + HOME[1:]

    @property
    def from_elsewhere(self) -> bool:
        """A link of another site led here, so the browser has kept the cookie back; from our own page it sends it."""
        site = self.request.headers.get("sec-fetch-site")
        return site == "cross-site" and self.request.method == "GET"

    @property
    def by(self) -> Actor:
        """Who is written down for what is done here."""
        return Actor(WHO, request_id=self.request.scope["request_id"])

    @property
    def query(self) -> Mapping[str, str]:
        """What stands in the address."""
        return self.request.query_params

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page for this visitor."""
        known = {
            "home": self.home,
            "now": self.now,
            "operator": self.session is not None and self.session.operator,
            "token": self.sessions.token(self.session) if self.session else "",
        }
        return page(template, status, **known, **values)

    def redirect(self, path: str = "", **query: str) -> Response:
        """See elsewhere in the console, by GET."""
        where = f"{self.home}{path}" + (f"?{urlencode(query)}" if query else "")
        return RedirectResponse(where, 303, HEADERS)

    def keep(self, response: Response, session: Session) -> Response:
        """The visitor keeps this session. Never read by a script, never sent from elsewhere; by TLS only where the
        visitor came by it; and, without a path of its own, for what stands beside the login."""
        name = COOKIE if session.operator else GUEST
        return self._kept(response, name, self.sessions.cookie(session), session.until - self.now)

    def forget(self, response: Response) -> Response:
        """The visitor keeps none."""
        return self._kept(response, COOKIE, "", 0)

    def _kept(self, response: Response, name: str, cookie: str, seconds: float) -> Response:
        by_tls = _by_tls(self.request)
        response.set_cookie(
            name, cookie, max_age=int(seconds), path=None, secure=by_tls, httponly=True, samesite="strict"
        )
        return response


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises Refusal."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise PageError(413, "Too much", "The form is larger than any of the console's.")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise PageError(400, "No form", "This is not what a form of the console sends.") from None


def _by_tls(request: Request) -> bool:
    """A gateway's word is enough: a false one could only keep a cookie from being sent without TLS."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower())
