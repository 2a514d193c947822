"""The simulator and its control server as one thing that runs until it is cancelled. Parses no command line."""

import asyncio
from collections.abc import Callable

from app.listener import Listener
from app.simulator.control import control
from app.simulator.server import Simulator


async def run(
    simulator: Simulator,
    *,
    host: str = "127.0.0.1",
    port: int = 5870,
    control_host: str = "127.0.0.1",
    control_port: int = 8026,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve SMTP and the control API until cancelled. Port 0 takes a free one.

    `ready` is called once with the control API's address when both listen. Raises OSError, CannotListen.
    """
    listener = Listener(control(simulator), control_host, control_port)
    await simulator.start(host, port)
    try:
        await listener.start()
        try:
            if ready is not None:
                ready(listener.url)
            await asyncio.Event().wait()
        finally:
            await listener.stop()
    finally:
        await simulator.stop()
