"""Paths without a route: messages of the 404, and routes of Resend's API that a relay does not have.

A message has the path of the documentation and, if it is known, the right path.
"""

import re

from starlette.requests import Request
from starlette.responses import Response

from app.api.auth.authenticator import Authenticator
from app.api.openapi.operation import RequiredPermission
from app.api.problems.problem import NotFound
from app.mail.safe_text import cut

DOCS_PATH = "/docs"
_OTHER_APIS = {  # by the path with which each of them sends an email
    "SendGrid": re.compile("/v3/mail/send"),
    "Mailgun": re.compile(r"/v[34]/[^/]+/messages(?:\.mime)?"),
    "Mailjet": re.compile(r"/v3(?:\.1)?/send"),
    "Brevo": re.compile("/v3/smtp/email"),
    "Mandrill": re.compile(r"/api/1\.[0-9]/messages/.*"),
    "SparkPost": re.compile("/api/v1/transmissions"),
    "Amazon SES": re.compile("/v2/email/outbound-emails"),
    "MailerSend": re.compile("/v1/(?:bulk-)?email"),
    "Mailtrap": re.compile("/api/send(?:/[^/]+)?"),
}
_VERSIONED = re.compile(r"/(?:api/)?v[0-9][0-9.]*(/.*)?")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_COLLECTIONS = (
    *("api-keys", "audiences", "automations", "broadcasts", "contact-properties", "contacts", "domains", "events"),
    *("inboxes", "logs", "oauth", "segments", "templates", "topics", "usage"),
)
_EMAIL_ACTIONS = ("share", "forward", "reply")

PATHS_BEFORE_EMAIL_ID = ("/emails/metrics", "/emails/receiving")  # /emails/{id} would match them
PATHS = (
    *(path for name in _COLLECTIONS for path in (f"/{name}", f"/{name}/{{rest:path}}")),
    "/emails/receiving/{rest:path}",
    *(f"/emails/{{id}}/{name}" for name in _EMAIL_ACTIONS),
)


def sentence(path: str, docs: str | None) -> str:
    """Return the message for this path. `docs`: path of the documentation; None where it is not served."""
    said = _fault(path)
    return f"{said} The API is described at {docs}." if docs else said


def _fault(path: str) -> str:
    shown = cut(path)
    if path == "/":
        return "This is Postern, which sends emails: use POST /emails."
    for name, form in _OTHER_APIS.items():
        if form.fullmatch(path):
            has = "Postern has the APIs of Resend (POST /emails) and Postmark (POST /email)"
            return f"{shown} is a path of {name}. {has}."
    if match := _VERSIONED.fullmatch(path):
        return f"There is nothing at {shown}. Paths have no version here: use {cut(match[1] or '/emails')}."
    return f"There is nothing at {shown}."


class UnsupportedRoutes:
    """Common response of all unsupported routes, for callers with an API key."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def refuse(self, request: Request) -> Response:
        """Refuse with 404 after authentication."""
        await self._authenticator.require(request, RequiredPermission.READ_ACCESS.value)
        raise NotFound(
            f"{request.scope['path']} is not available on this relay, which only sends emails. "
            "Use POST /emails and GET /emails/{id}.",
            reason="unsupported_resource",
        )
