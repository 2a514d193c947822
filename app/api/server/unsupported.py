"""Routes of Resend's API that a relay does not have: a 404 that explains it."""

from starlette.requests import Request
from starlette.responses import Response

from app.api.auth.authenticator import Authenticator
from app.api.openapi.operation import RequiredPermission
from app.api.problems.problem import NotFound

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
