"""Reading a request's body: never more octets than the limit, never longer than the limit. Parses nothing."""

import asyncio
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.types import Receive, Scope

from app.api.edge import Limits
from app.api.errors import MalformedBody
from app.api.unreadable import BodyTooLarge, BodyTooSlow, NoRoom, UnsupportedCoding
from app.api.wire import header
from app.listener import WHOLE

SMALL = 64 * 1024  # octets of a body that need no room: what is urgent is small, and there are only so many connections
ROOM = "postern.room"  # in the scope of every request: the Room
_HELD = "postern.held"  # and how much of it the request has


_CODINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}  # and the only value that is read


class Room:
    """The memory set aside for bodies, over all requests: what is read and worked on at one moment."""

    def __init__(self, octets: int) -> None:
        self._left = octets

    def hold(self, scope: Scope, octets: int, unread: bool) -> None:
        """Have room for this much in all, until `free`. Raises NoRoom."""
        more = octets - scope.get(_HELD, 0)
        if more > self._left:
            raise NoRoom(unread=unread)
        if more > 0:
            self._left -= more
            scope[_HELD] = octets

    def free(self, scope: Scope) -> None:
        """The request is over."""
        self._left += scope.pop(_HELD, 0)


async def read(request: Request, limits: Limits) -> bytes | bytearray:
    """The whole body. Raises BodyTooLarge and NoRoom (before reading, if the length is told), UnsupportedCoding,
    BodyTooSlow, MalformedBody."""
    scope = request.scope
    _check_codings(scope)
    hold = partial(scope[ROOM].hold, scope)
    if WHOLE in scope:  # as nearly always: a timer would cost more than the reading
        return await _collect(request.receive, limits.max_body_bytes, hold)
    declared = header(scope, b"content-length") or b""
    if declared.isdigit():
        unread = header(scope, b"expect") is None
        if int(declared) > limits.max_body_bytes:
            raise BodyTooLarge(limits.max_body_bytes, unread=unread)
        if int(declared) > SMALL:
            hold(int(declared), unread)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(request.receive, limits.max_body_bytes, hold)
    except TimeoutError:
        raise BodyTooSlow(limits.body_seconds) from None


def _check_codings(scope: Scope) -> None:
    """Raise UnsupportedCoding for a body that is compressed, as its header fields say."""
    for name, value in scope["headers"]:
        if name in _CODINGS and value.strip().lower() not in (b"", _CODINGS[name]):
            field, given = name.decode().title(), value.decode("latin-1")[:100]
            raise UnsupportedCoding(
                f"The request has the header {field}: {given}. Send the body uncompressed, without that header.",
                unread=WHOLE not in scope,
            )


async def _collect(receive: Receive, limit: int, hold: Callable[[int, bool], None]) -> bytes | bytearray:
    body: bytes | bytearray = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise MalformedBody("The connection ended before the whole body had arrived.")
        more = event.get("more_body", False)
        chunk = event.get("body", b"")
        size = len(body) + len(chunk)
        if size > limit:
            raise BodyTooLarge(limit, unread=more)
        if size > SMALL:
            hold(size, more)
        if isinstance(body, bytearray):
            body += chunk
        else:  # most bodies come in one piece and are not copied
            body = bytearray(body + chunk) if body else chunk
    return body
