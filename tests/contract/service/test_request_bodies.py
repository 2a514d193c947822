"""Bodies that the HTTP server receives, counted in calls and in bytes of memory."""

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import FrameType
from typing import Any

from app.http_server.server import HttpServer

CHUNKS = 20_000
REFUSED = 20
BODY = b"x" * 200_000  # of a million announced bytes


async def answer(send: Any, status: int) -> None:
    """Send a response without a body."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def connected(server: HttpServer, request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Connect and send a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    await writer.drain()
    yield reader
    writer.close()
    await writer.wait_closed()


async def test_a_chunk_of_one_byte_costs_no_call() -> None:
    """A crowd of such bodies would delay every other caller."""
    calls, received = 0, bytearray()

    def count(_frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal calls
        calls += kind == "call"

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            event = await receive()
            received.extend(event["body"])
            more = event["more_body"]
        await answer(send, 204)

    server = HttpServer(application, "127.0.0.1", 0)
    await server.start()
    request = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * CHUNKS
    sys.setprofile(count)
    async with connected(server, request + b"0\r\n\r\n") as reader:
        assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
    sys.setprofile(None)
    await server.stop()
    assert received == b"a" * CHUNKS
    assert calls < CHUNKS // 4


async def test_a_refused_body_is_not_kept() -> None:
    """While the connection waits for the rest of it."""

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, 401)

    server = HttpServer(application, "127.0.0.1", 0)
    await server.start()
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + BODY
    tracemalloc.start()
    async with AsyncExitStack() as stack:
        for _ in range(REFUSED):
            reader = await stack.enter_async_context(connected(server, request))
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await server.stop()
    assert kept < REFUSED * len(BODY) // 4
