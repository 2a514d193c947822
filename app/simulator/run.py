"""Simulator, control API, Entra ID and Microsoft Graph as one service that runs until it is cancelled."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from app.http_server.server import HttpServer
from app.simulator.control_api import control_api
from app.simulator.entra import Entra
from app.simulator.server import Simulator
from app.simulator.trace import MessageTrace


class Ports(NamedTuple):
    """Address and ports to listen on. Port 0 selects a free one."""

    host: str = "127.0.0.1"
    smtp: int = 5870
    control: int = 8026
    oauth: int = 8443
    graph: int = 8444


async def run(
    simulator: Simulator,
    ports: Ports,
    *,
    entra: Entra | None = None,
    graph: MessageTrace | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve SMTP, the control API and optionally Entra and Graph, which needs Entra, until cancelled.

    `ready` is called once with the URL of the control API when all ports listen. Raises OSError, ListenError.
    """
    http_server = HttpServer(control_api(simulator, graph), ports.host, ports.control)
    async with AsyncExitStack() as stack:
        await simulator.start(ports.host, ports.smtp)
        stack.push_async_callback(simulator.stop)
        await http_server.start()
        stack.push_async_callback(http_server.stop)
        if entra is not None:
            await entra.start(ports.host, ports.oauth)
            stack.push_async_callback(entra.stop)
        if graph is not None:
            await graph.start(ports.host, ports.graph)
            stack.push_async_callback(graph.stop)
        if ready is not None:
            ready(http_server.url)
        await asyncio.Event().wait()
