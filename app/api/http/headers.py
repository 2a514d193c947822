"""Header fields of a request, and successful responses."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

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


def json_ok(content: bytes, status: int = 200) -> Response:
    """Return a success with JSON."""
    return Response(content, status, media_type="application/json")


def json_object(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return a success with this JSON object."""
    return json_ok(json.dumps(content).encode(), status)


def email_id_response(id_: UUID) -> Response:
    """Return the response of a route that changes an email."""
    return json_ok(b'{"object":"email","id":"%s"}' % str(id_).encode())


def timestamp(seconds: float | None) -> str | None:
    """Return epoch seconds in RFC 3339, or None."""
    return None if seconds is None else iso(seconds)
