"""Header fields of a request, and successful responses."""

from starlette.responses import Response
from starlette.types import Scope

from app.mail.times import iso


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of the header, unchanged; None without it. `name` is in lower case."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for given, value in headers:
        if given == name:
            return value
    return None


def json_ok(content: bytes) -> Response:
    """Return a success: 200 with JSON."""
    return Response(content, media_type="application/json")


def timestamp(seconds: float | None) -> str | None:
    """Return epoch seconds in RFC 3339, or None."""
    return None if seconds is None else iso(seconds)
