"""Connections that arrive together, counted in steps of the event loop."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Any

import uvloop

from app.http_server.server import HttpServer

CROWD = 128


def test_a_crowd_of_connections_is_accepted_in_few_steps() -> None:
    assert uvloop.run(steps_until_all_are_served()) < CROWD // 4


async def steps_until_all_are_served() -> int:
    """Return the steps of the event loop until a request of every connection of a crowd has arrived."""
    loop, served = asyncio.get_running_loop(), asyncio.Event()
    steps = arrived = 0

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal arrived
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        arrived += 1
        if arrived == CROWD:
            served.set()

    def count() -> None:
        nonlocal steps
        steps += 1
        if not served.is_set():
            loop.call_soon(count)

    server = HttpServer(application, "127.0.0.1", 0)
    await server.start()
    with ExitStack() as stack:
        for _ in range(CROWD):  # the kernel connects them, while the event loop does nothing
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        count()
        await served.wait()
    await server.stop()
    return steps
