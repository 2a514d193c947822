"""Reading of request bodies within limits of size, memory and time.

Memory is reserved for received bytes, not for the announced length, and a body has a minimum rate. A compressed body is
refused, and the API key is checked again after a slow one.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.types import Receive, Scope

from app.api.auth.refusal_audit import KEY_CHECKED_FOR
from app.api.context import RequestLimits
from app.api.http.headers import header
from app.api.http.memory_budget import UNCHARGED_SIZE, memory_budget
from app.api.problems.problem import MalformedBody
from app.api.problems.transport import BodyTooLarge, RequestBodyTimeout, UnsupportedCoding
from app.http_server.server import TAKE_BODY

_CODINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}  # with the only supported value


async def read(request: Request, limits: RequestLimits, most: int | None = None) -> bytes | bytearray:
    """Return the whole body; `most` replaces the usual limit in bytes. Raises BodyTooLarge, BodyBudgetExhausted (both
    before reading, if the length is announced), UnsupportedCoding, RequestBodyTimeout, MalformedBody, and InvalidKey if
    the API key was revoked meanwhile."""
    scope, limit = request.scope, most or limits.max_body_bytes
    _check_codings(scope)
    if TAKE_BODY in scope:  # the usual case; a timer would cost more than the reading
        body: bytes | bytearray = scope[TAKE_BODY]()
        _account(scope, len(body), limit, more=False)
        return body
    declared = header(scope, b"content-length") or b""
    if declared.isdigit():
        unread = header(scope, b"expect") is None
        if int(declared) > limit:
            raise BodyTooLarge(limit, unread=unread)
        memory_budget(scope).check_available(scope, int(declared), unread)
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(min(limits.body_seconds, limits.body_grace_seconds)) as timer:
            body = await _collect(request.receive, limit, scope, partial(_extend, timer, began, limits))
    except TimeoutError:
        raise RequestBodyTimeout(limits.body_seconds, limits.body_bytes_per_second) from None
    if now() - began >= KEY_CHECKED_FOR:
        await scope["caller"].check_again()
    return body


def _extend(timer: asyncio.Timeout, began: float, limits: RequestLimits, size: int) -> None:
    """Extend the deadline to the time that so many bytes take at the minimum rate."""
    allowed = limits.body_grace_seconds + size / limits.body_bytes_per_second
    timer.reschedule(began + min(limits.body_seconds, allowed))


def _check_codings(scope: Scope) -> None:
    """Raise UnsupportedCoding if the header fields announce a compressed body."""
    for name, value in scope["headers"]:
        if name in _CODINGS and value.strip().lower() not in (b"", _CODINGS[name]):
            field, given = name.decode().title(), value.decode("latin-1")[:100]
            raise UnsupportedCoding(
                f"The request has the header {field}: {given}. Send the body uncompressed, without that header.",
                unread=TAKE_BODY not in scope,
            )


async def _collect(receive: Receive, limit: int, scope: Scope, arrived: Callable[[int], None]) -> bytes | bytearray:
    body: bytes | bytearray = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise MalformedBody("The connection ended before the whole body had arrived.")
        more = event.get("more_body", False)
        chunk = event.get("body", b"")
        size = len(body) + len(chunk)
        _account(scope, size, limit, more=more)
        arrived(size)
        if isinstance(body, bytearray):
            body += chunk
        else:  # most bodies are one chunk and not copied
            body = bytearray(body + chunk) if body else chunk
    return body


def _account(scope: Scope, size: int, limit: int, *, more: bool) -> None:
    """Charge the bytes of a body that have arrived. `more`: some have not. Raises BodyTooLarge, BodyBudgetExhausted."""
    if size > limit:
        raise BodyTooLarge(limit, unread=more)
    if size > UNCHARGED_SIZE:
        memory_budget(scope).charge(scope, size, more)
