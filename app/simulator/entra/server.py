"""Entra over HTTPS on a loopback port, with the simulator's clock and certificate authority."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from app.http_server.server import HttpServer
from app.simulator.entra.directory import App
from app.simulator.entra.endpoints import application
from app.simulator.entra.sts import Sts
from app.simulator.entra.tokens import SCOPE
from app.simulator.server import Simulator


class Entra(Sts):
    """The token service of `Sts`, and where it listens."""

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
        self._listener: HttpServer | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises CannotListen."""
        self._listener = HttpServer(application(self), host, port, tls=self._simulator.tls())
        await self._listener.start()
        name = next(iter(self._simulator.profile.names), "localhost")
        self.authority = f"https://{name}:{self._listener.port}"

    async def stop(self) -> None:
        """Stop listening. It can be started again, also on the same port."""
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def identity_endpoint(self) -> str:
        """What App Service gives in IDENTITY_ENDPOINT, beside IDENTITY_HEADER."""
        return f"{self.authority}/msi/token"
