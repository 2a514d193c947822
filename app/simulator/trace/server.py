"""HTTPS server of the simulated Microsoft Graph, with the clock, the messages and the CA of the SMTP simulator."""

from typing import Self

from app.http_server.server import HttpServer
from app.mail.office365.graph import TRACE_PERMISSION
from app.simulator.entra import Entra
from app.simulator.server import Simulator
from app.simulator.trace.mailboxes import Mailboxes
from app.simulator.trace.routes import application
from app.simulator.trace.tenant_trace import TenantTrace


class MessageTrace(TenantTrace):
    """Message trace, and `mailboxes`, on HTTPS."""

    def __init__(self, simulator: Simulator, entra: Entra) -> None:
        super().__init__(simulator, entra)
        self.mailboxes = Mailboxes(self)
        self._http_server: HttpServer | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 selects a free one. Raises ListenError."""
        tls = self.simulator.tls_context()
        self._http_server = HttpServer(application(self, self.mailboxes), host, port, tls=tls, date_header=False)
        await self._http_server.start()
        name = next(iter(self.simulator.profile.names), "localhost")
        self.url = f"https://{name}:{self._http_server.port}"
        self.entra.add_resource(self.url, TRACE_PERMISSION)

    async def stop(self) -> None:
        """Stop listening. A restart on the same port is possible."""
        if self._http_server is not None:
            await self._http_server.stop()
            self._http_server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
