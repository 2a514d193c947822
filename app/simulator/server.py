"""Simulator: the SMTP listener and its sessions."""

import asyncio
import ssl
from pathlib import Path
from typing import Self
from uuid import uuid4

from app import logs
from app.simulator.protocol.connection import SmtpConnection
from app.simulator.server_profile import ServerProfile
from app.simulator.session.command_loop import serve_connection
from app.simulator.session.session import ServerSession
from app.simulator.state import SimulatorState

_STOP_TIMEOUT = 2.0  # seconds


class Simulator(SimulatorState):
    """Simulated Exchange Online on a loopback port."""

    host = "127.0.0.1"
    port = 0
    _server: asyncio.Server | None = None
    _tasks: dict[SmtpConnection, asyncio.Task[None]]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 selects a free one; `port` has its number."""
        self._tasks = {}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SmtpConnection(self._serve), host, port, backlog=1024)
        self.host, self.port = host, self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close all connections. A restart on the same port is possible."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        tasks = dict(self._tasks)
        for connection, task in tasks.items():
            task.cancel()
            connection.abort()
        if tasks:
            await asyncio.wait([*tasks.values(), *(connection.closed for connection in tasks)], timeout=_STOP_TIMEOUT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _serve(self, connection: SmtpConnection) -> None:
        """Start the session of a new connection."""
        session = ServerSession(self, connection)
        self.recorder.add_session(session.record)
        task = asyncio.get_running_loop().create_task(serve_connection(session))
        self._tasks[connection] = task
        connection.closed.add_done_callback(lambda _: self._tasks.pop(connection, None))
        task.add_done_callback(lambda _: self._report_crash(connection, task))

    def _report_crash(self, connection: SmtpConnection, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.crashed("simulator", error)
            connection.abort()

    @property
    def ca_pem(self) -> str:
        """CA certificate in PEM. The server certificate is for localhost, 127.0.0.1, ::1 and smtp.office365.com."""
        return self.certificates.ca_pem

    def tls_context(self) -> ssl.SSLContext:
        """Return a TLS server context with a valid certificate, for another server."""
        return self.certificates.context(ServerProfile(names=self.profile.names))

    def write_ca(self, path: Path | str) -> None:
        """Write `ca_pem` to a file, in one step: a process that reads it meanwhile gets the whole of it.

        Missing folders are made.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        part = Path(f"{path}.{uuid4().hex}.part")  # the mode of the umask, which `tempfile` does not give
        part.write_text(self.ca_pem, encoding="ascii")
        part.replace(path)
