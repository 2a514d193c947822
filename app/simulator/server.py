"""Simulator: the SMTP listener, its sessions, and access to records, faults, accounts and settings."""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from app import logs
from app.clock import Clock
from app.simulator.accounts import Account, Accounts
from app.simulator.faults.fault import Fault
from app.simulator.faults.script import FaultScript
from app.simulator.limits import Limits, UsageTracker
from app.simulator.protocol.connection import SmtpConnection
from app.simulator.recorder import Login, ReceivedMessage, RecordedSession, Recorder, Violation
from app.simulator.server_profile import ServerProfile
from app.simulator.session.command_loop import serve_connection
from app.simulator.session.session import Session
from app.simulator.session.state import SimulatorState

_DEFAULT_LIMITS = Limits()
_DEFAULT_PROFILE = ServerProfile()
_STOP_TIMEOUT = 2.0  # seconds


class Simulator:
    """Simulated Exchange Online on a loopback port.

    It records the last `max_records` records of each kind (None: all), and writes accepted messages to `folder`.
    """

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        clock: Clock | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        profile: ServerProfile = _DEFAULT_PROFILE,
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        max_records: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._recorder = Recorder(max_records, folder)
        self._state = SimulatorState(
            accounts=Accounts(accounts),
            clock=clock or Clock(),
            usage=UsageTracker(limits),
            recorder=self._recorder,
            faults=FaultScript(seed),
            profile=profile,
        )
        for fault in faults:
            self.faults.add(fault)
        self._server: asyncio.Server | None = None
        self._tasks: dict[SmtpConnection, asyncio.Task[None]] = {}

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Port 0 selects a free one; `port` has its number."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, host, port, backlog=1024)
        self.host, self.port = host, self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close all connections. A restart on the same port is possible."""
        if self._server is not None:
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connected(self) -> SmtpConnection:
        return _Connection(self)

    def serve(self, connection: SmtpConnection) -> None:
        """Start the session of a new connection."""
        session = Session(self._state, connection)
        self._recorder.add_session(session.record)
        task = asyncio.get_running_loop().create_task(serve_connection(session))
        self._tasks[connection] = task
        connection.closed.add_done_callback(lambda _: self._tasks.pop(connection, None))
        task.add_done_callback(lambda _: self._report_crash(connection, task))

    def _report_crash(self, connection: SmtpConnection, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.crashed("simulator", error)
            connection.abort()

    # Records.

    @property
    def messages(self) -> list[ReceivedMessage]:
        """Messages with complete content, accepted and refused, oldest first."""
        return self._recorder.messages

    @property
    def accepted(self) -> list[ReceivedMessage]:
        """Accepted messages."""
        return [message for message in self._recorder.messages if message.accepted]

    @property
    def sessions(self) -> list[RecordedSession]:
        """Connections, oldest first."""
        return self._recorder.sessions

    @property
    def logins(self) -> list[Login]:
        """AUTH exchanges, oldest first."""
        return self._recorder.logins

    @property
    def violations(self) -> list[Violation]:
        """Violations of limits, oldest first."""
        return self._recorder.violations

    async def wait_for(self, count: int, timeout: float) -> None:
        """Wait until `count` messages were accepted since the last reset.

        Raises TimeoutError after `timeout` real seconds."""
        await self._recorder.wait_for(count, timeout)

    def clear_records(self) -> None:
        """Delete records and usage. Connections and faults remain."""
        self._recorder.clear()
        self._state.usage.clear()

    def reset(self) -> None:
        """Delete records, usage and faults."""
        self.clear_records()
        self._state.faults.clear()

    # Settings.

    @property
    def accounts(self) -> Accounts:
        """Accounts of the tenant."""
        return self._state.accounts

    @property
    def faults(self) -> FaultScript:
        """Fault script."""
        return self._state.faults

    @property
    def clock(self) -> Clock:
        """Clock of the simulator."""
        return self._state.clock

    @property
    def profile(self) -> ServerProfile:
        """Server profile that applies to new connections."""
        return self._state.profile

    @profile.setter
    def profile(self, profile: ServerProfile) -> None:
        self._state.profile = profile

    @property
    def limits(self) -> Limits:
        """Sending limits. Changed timeouts apply to new sessions."""
        return self._state.usage.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._state.usage.limits = limits

    # Certificate.

    @property
    def ca_pem(self) -> str:
        """CA certificate in PEM. The server certificate is for localhost, 127.0.0.1, ::1 and smtp.office365.com."""
        return self._state.certificates.ca_pem

    def tls_context(self) -> ssl.SSLContext:
        """Return a TLS server context with a valid certificate, for another server."""
        return self._state.certificates.context(ServerProfile(names=self.profile.names))

    def write_ca(self, path: Path | str) -> None:
        """Write `ca_pem` to a file."""
        Path(path).write_text(self.ca_pem, encoding="ascii")


class _Connection(SmtpConnection):
    """Connection that starts its session when it is connected."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._simulator.serve(self)
