"""Header fields and client address of a request; successful JSON responses and their times."""

from starlette.responses import Response
from starlette.types import Scope

from app.mail.times import iso

_JSON = (b"content-type", b"application/json")


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of the header, unchanged; None without it. `name` is in lower case."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for given, value in headers:
        if given == name:
            return value
    return None


def client_address(scope: Scope) -> str:
    """Return the network address of the caller; "" if it is not known."""
    return str((scope.get("client") or ("",))[0])


class JsonResponse(Response):
    """A success: 200 with JSON."""

    def __init__(self, content: bytes) -> None:
        """Set what Starlette's own constructor derives from its arguments, at a third of the cost."""
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", b"%d" % len(content)), _JSON]


def json_ok(content: bytes) -> Response:
    """Return a success: 200 with JSON."""
    return JsonResponse(content)


def timestamp(seconds: float | None) -> str | None:
    """Return epoch seconds in RFC 3339, or None."""
    return None if seconds is None else iso(seconds)
