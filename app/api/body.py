"""Reading a request's body: never more octets than the limit, never longer than the limit. Parses nothing."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive

from app.api.edge import Limits
from app.api.errors import BodyTooLarge, BodyTooSlow, MalformedBody
from app.api.wire import header
from app.listener import WHOLE


async def read(request: Request, limits: Limits) -> bytes | bytearray:
    """The whole body. Raises BodyTooLarge (before reading, if the length is told), BodyTooSlow, MalformedBody."""
    declared = header(request.scope, b"content-length") or b""
    if declared.isdigit() and int(declared) > limits.max_body_bytes:
        raise BodyTooLarge(limits.max_body_bytes, unread=header(request.scope, b"expect") is None)
    if WHOLE in request.scope:  # as nearly always: a timer would cost more than the reading
        return await _collect(request.receive, limits.max_body_bytes)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(request.receive, limits.max_body_bytes)
    except TimeoutError:
        raise BodyTooSlow(limits.body_seconds) from None


async def _collect(receive: Receive, limit: int) -> bytes | bytearray:
    body: bytes | bytearray = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise MalformedBody("The connection ended before the whole body had arrived.")
        more = event.get("more_body", False)
        chunk = event.get("body", b"")
        if len(body) + len(chunk) > limit:
            raise BodyTooLarge(limit, unread=more)
        if isinstance(body, bytearray):
            body += chunk
        else:  # most bodies come in one piece and are not copied
            body = bytearray(body + chunk) if body else chunk
    return body
