"""The simulator and its control server as one thing that runs until it is cancelled. Parses no command line."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from app.simulator.control import control
from app.simulator.server import Simulator


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the caller's, who cancels."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def run(
    simulator: Simulator,
    *,
    host: str = "127.0.0.1",
    port: int = 5870,
    control_host: str = "127.0.0.1",
    control_port: int = 5880,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve SMTP and the control API until cancelled. Port 0 takes a free one.

    `ready` is called once with the control API's address when both listen. Raises OSError if a port is taken.
    """
    with socket.create_server((control_host, control_port)) as listening:
        await simulator.start(host, port)
        server = _Server(
            uvicorn.Config(
                control(simulator), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            if ready is not None:
                ready(f"http://{control_host}:{listening.getsockname()[1]}")
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving
            await simulator.stop()
