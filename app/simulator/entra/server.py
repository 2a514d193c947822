"""HTTPS server of the simulated Entra ID, with the clock and CA of the SMTP simulator."""

from collections.abc import Iterable
from typing import Self

from app.http_server.server import HttpServer
from app.simulator.entra.directory import App
from app.simulator.entra.routes import application
from app.simulator.entra.token_service import TokenService
from app.simulator.entra.tokens import SCOPE
from app.simulator.server import Simulator


class Entra(TokenService):
    """Token service that listens on HTTPS."""

    def __init__(
        self,
        simulator: Simulator,
        apps: Iterable[App] = (),
        *,
        lifetime: float = 4500.0,
        scope: str = SCOPE,
        identities: Iterable[str] = ("",),
    ) -> None:
        super().__init__(simulator.clock, apps, lifetime=lifetime, scope=scope, identities=identities)
        self._simulator = simulator
        self._http_server: HttpServer | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 selects a free one. Raises ListenError."""
        self._http_server = HttpServer(application(self), host, port, tls=self._simulator.tls_context())
        await self._http_server.start()
        name = next(iter(self._simulator.profile.names), "localhost")
        self.authority = f"https://{name}:{self._http_server.port}"

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

    @property
    def identity_endpoint(self) -> str:
        """Value of IDENTITY_ENDPOINT in App Service."""
        return f"{self.authority}/msi/token"
