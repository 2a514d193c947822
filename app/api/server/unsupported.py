"""What the SDKs offer and a relay does not have (api.md §4): an answer that says so, instead of a bare 404."""

from starlette.requests import Request
from starlette.responses import Response

from app.api.auth.authenticator import Authenticator
from app.api.problems.problem import NotFound

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_COLLECTIONS = (
    *("api-keys", "audiences", "automations", "broadcasts", "contact-properties", "contacts", "domains", "events"),
    *("inboxes", "logs", "oauth", "segments", "suppressions", "templates", "topics", "usage"),
)
_EMAIL_ACTIONS = ("share", "forward", "reply")

PATHS_BEFORE_EMAIL_ID = ("/emails/metrics", "/emails/receiving")  # which /emails/{id} would take for an id
PATHS = (
    *(path for name in _COLLECTIONS for path in (f"/{name}", f"/{name}/{{rest:path}}")),
    "/emails/receiving/{rest:path}",
    *(f"/emails/{{id}}/{name}" for name in _EMAIL_ACTIONS),
)


class UnsupportedRoutes:
    """One answer for all of them, to callers with a key."""

    def __init__(self, keyring: Authenticator) -> None:
        self._keyring = keyring

    async def refuse(self, request: Request) -> Response:
        """Always 404, after the key was checked."""
        await self._keyring.read_access(request)
        raise NotFound(
            f"{request.scope['path']} is not available on this relay, which only sends emails. "
            "Use POST /emails and GET /emails/{id}.",
            reason="unsupported_resource",
        )
