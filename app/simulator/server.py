"""The simulator: listens, gives each connection its session, and shows what was seen."""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from app import logs
from app.clock import Clock
from app.simulator.account import Account, Accounts
from app.simulator.command_loop import serve_connection
from app.simulator.connection import SmtpConnection
from app.simulator.faults import Fault, Faults
from app.simulator.limits import Limits, UsageLedger
from app.simulator.recorder import Login, ReceivedMessage, RecordedSession, Recorder, Violation
from app.simulator.server_profile import ServerProfile
from app.simulator.session import Session
from app.simulator.state import SimulatorState

_LIMITS = Limits()
_DOOR = ServerProfile()
_SHUTDOWN = 2.0  # seconds


class Simulator:
    """A pretend Office 365 on a loopback port.

    `keep` bounds what is remembered (None: everything); accepted messages also go to `folder` as .eml files.
    """

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        clock: Clock | None = None,
        limits: Limits = _LIMITS,
        profile: ServerProfile = _DOOR,
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        keep: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._memory = Recorder(keep, folder)
        self._office = SimulatorState(
            accounts=Accounts(accounts),
            clock=clock or Clock(),
            usage=UsageLedger(limits),
            recorder=self._memory,
            faults=Faults(seed),
            profile=profile,
        )
        for fault in faults:
            self.faults.add(fault)
        self._server: asyncio.Server | None = None
        self._open: dict[SmtpConnection, asyncio.Task[None]] = {}

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one, which `port` then gives."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, host, port, backlog=1024)
        self.host, self.port = host, self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection. It can be started again, also on the same port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        ending = dict(self._open)
        for wire, task in ending.items():
            task.cancel()
            wire.abort()
        if ending:
            await asyncio.wait([*ending.values(), *(wire.closed for wire in ending)], timeout=_SHUTDOWN)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connected(self) -> SmtpConnection:
        return _Connection(self)

    def serve(self, wire: SmtpConnection) -> None:
        """Begin the session of a new connection."""
        session = Session(self._office, wire)
        self._memory.add_session(session.record)
        task = asyncio.get_running_loop().create_task(serve_connection(session))
        self._open[wire] = task
        wire.closed.add_done_callback(lambda _: self._open.pop(wire, None))
        task.add_done_callback(lambda _: self._ended(wire, task))

    def _ended(self, wire: SmtpConnection, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.crashed("simulator", error)
            wire.abort()

    # What was seen.

    @property
    def messages(self) -> list[ReceivedMessage]:
        """Every message whose content came to its end, accepted or not, oldest first."""
        return self._memory.messages

    @property
    def accepted(self) -> list[ReceivedMessage]:
        """Those that were accepted."""
        return [message for message in self._memory.messages if message.accepted]

    @property
    def sessions(self) -> list[RecordedSession]:
        """Every connection, oldest first."""
        return self._memory.sessions

    @property
    def logins(self) -> list[Login]:
        """Every AUTH exchange: (at, mailbox, mechanism, ok)."""
        return self._memory.logins

    @property
    def violations(self) -> list[Violation]:
        """Every limit exceeded: (at, mailbox, what)."""
        return self._memory.violations

    async def wait_for(self, count: int, timeout: float) -> None:
        """Until `count` messages were accepted since the last reset. Raises TimeoutError after real seconds."""
        await self._memory.wait_for(count, timeout)

    def forget(self) -> None:
        """Forget what was seen and counted. Connections and faults stay."""
        self._memory.forget()
        self._office.usage.forget()

    def reset(self) -> None:
        """Forget, and take the faults out."""
        self.forget()
        self._office.faults.clear()

    # What can be set.

    @property
    def accounts(self) -> Accounts:
        """Who may log in."""
        return self._office.accounts

    @property
    def faults(self) -> Faults:
        """The fault script."""
        return self._office.faults

    @property
    def clock(self) -> Clock:
        """Its clock."""
        return self._office.clock

    @property
    def profile(self) -> ServerProfile:
        """The door for the connections to come."""
        return self._office.profile

    @profile.setter
    def profile(self, door: ServerProfile) -> None:
        self._office.profile = door

    @property
    def limits(self) -> Limits:
        """The limits; those of time hold for the sessions to come."""
        return self._office.usage.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._office.usage.limits = limits

    # Its certificate.

    @property
    def ca_pem(self) -> str:
        """PEM of the authority to trust. The certificate is for localhost, 127.0.0.1, ::1 and smtp.office365.com."""
        return self._office.certificates.ca_pem

    def tls(self) -> ssl.SSLContext:
        """A context with its good certificate, for another server beside it."""
        return self._office.certificates.context(ServerProfile(names=self.profile.names))

    def write_ca(self, path: Path | str) -> None:
        """Write `ca_pem` to a file."""
        Path(path).write_text(self.ca_pem, encoding="ascii")


class _Connection(SmtpConnection):
    """A wire that gives itself to the simulator when it is connected."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._simulator.serve(self)
