"""HTTP request to the console with session and form fields, the responses that pages build, and the error of a page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console.api import OperatorRequest
from app.console.context import ConsoleContext
from app.console.session import ConsoleSession, Role, Sessions
from app.console.templates_env import HEADERS, render_page
from app.store.keys.audit import Actor

HOME = "/console"
ORIGINAL_PATH = "postern.original_path"  # key of the ASGI scope: the path below the root path, with its trailing slash
ACTOR = "console"  # name in the log and in the audit
READING_ACTOR = "console (read-only)"
OPERATOR_COOKIE = "postern_console"
GUEST_COOKIE = "postern_console_guest"  # separate, so that visiting the login page does not end an operator's session
MAX_FORM_BYTES = 16 * 1024
MAX_FORM_FIELDS = 100
REFRESH_SECONDS = 5


class PageError(Exception):
    """Error that is shown as a page with this status, title and message."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(message)
        self.status, self.title = status, title


@dataclass(frozen=True, slots=True)
class ConsoleRequest:
    """HTTP request with its session and its form fields. `now` is in epoch seconds."""

    context: ConsoleContext
    http: Request
    sessions: Sessions
    session: ConsoleSession | None
    now: float
    form: "FormFields" = field(default_factory=ImmutableMultiDict)

    @property
    def home(self) -> str:
        """Relative URL from this page to the console's first page, because a gateway may add a path prefix."""
        path: str = self.http.scope[ORIGINAL_PATH]
        return "../" * (path.count("/") - 1) + HOME[1:]

    @property
    def is_cross_site(self) -> bool:
        """True for a link on another site: the browser omits the SameSite=Strict cookie (Fetch Metadata)."""
        site = self.http.headers.get("sec-fetch-site")
        return site == "cross-site" and self.http.method == "GET"

    @property
    def logged_in(self) -> bool:
        """True for an operator and a reader."""
        return self.session is not None and self.session.logged_in

    @property
    def operator(self) -> bool:
        """True for a person who may change something."""
        return self.session is not None and self.session.role is Role.OPERATOR

    @property
    def actor(self) -> Actor:
        """Actor that the audit records for this request."""
        return Actor(ACTOR if self.operator else READING_ACTOR, request_id=self.http.scope["request_id"])

    @property
    def client(self) -> str:
        """Network address of the browser; "" if it is not known."""
        return self.http.client.host if self.http.client else ""

    @property
    def as_api(self) -> OperatorRequest:
        """This request as an endpoint of the API takes it."""
        return OperatorRequest(self.http, self.actor)

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters of the URL."""
        return self.http.query_params

    def cursor(self, name: str, meaning: str) -> UUID | None:
        """Return the id in a query parameter; None if it is not given. `meaning`: of a valid value."""
        try:
            return UUID(self.query[name]) if name in self.query else None
        except ValueError:
            raise PageError(400, "Not found", f"The value of `{name}` is not {meaning}.") from None

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Render a template with the values that every page needs.

        `live`: seconds between the page's updates of itself; 0 for none, as for errors and the responses to forms.
        """
        common = {
            "home": self.home,
            "now": self.now,
            "logged_in": self.logged_in,
            "operator": self.operator,
            "token": self.sessions.token(self.session) if self.session else "",
            "live": REFRESH_SECONDS if self.logged_in and status == 200 and self.http.method != "POST" else 0,
        }
        return render_page(template, status, **{**common, **values})

    def redirect(self, path: str = "", **query: str) -> Response:
        """Redirect (303) to another page of the console."""
        location = f"{self.home}{path}" + (f"?{urlencode(query)}" if query else "")
        return RedirectResponse(location, 303, HEADERS)

    def set_session(self, response: Response, session: ConsoleSession) -> Response:
        """Set the session cookie: HttpOnly, SameSite=Strict, Secure if this request came over TLS.

        It has no Path attribute, so the browser sends it to all paths beside /login, whatever prefix a gateway adds.
        """
        name = OPERATOR_COOKIE if session.logged_in else GUEST_COOKIE
        return self._set_cookie(response, name, self.sessions.cookie(session), session.expires_at - self.now)

    def delete_session(self, response: Response) -> Response:
        """Delete the operator's session cookie."""
        return self._set_cookie(response, OPERATOR_COOKIE, "", 0)

    def _set_cookie(self, response: Response, name: str, cookie: str, max_age: float) -> Response:
        secure = _is_https(self.http)
        response.set_cookie(
            name, cookie, max_age=int(max_age), path=None, secure=secure, httponly=True, samesite="strict"
        )
        return response


FormFields: TypeAlias = ImmutableMultiDict[str, str]


async def read_form(request: Request) -> FormFields:
    """Return the fields of a form. Raise PageError if the body is too large or is no form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise PageError(413, "Form too large", f"The console accepts forms of at most {MAX_FORM_BYTES} bytes.")
    try:
        return ImmutableMultiDict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
        )
    except ValueError:
        raise PageError(400, "Not a form", "The request body is not a form of the console.") from None


def _is_https(request: Request) -> bool:
    """Return whether the browser uses TLS. A false X-Forwarded-Proto only makes the cookie stricter."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower())
