"""Fixtures: simulators, scripted servers and sessions to them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.clock import Clock
from app.mail.message.message import Envelope
from app.mail.outcome.attempt import Phase
from app.simulator import Account, ExchangeLimits, Simulator
from app.smtp import tls
from app.smtp.auth.credentials import Password
from app.smtp.handshake import Refusal, Session, Upstream, open_session
from app.smtp.protocol import Timeouts
from tests.smtp.scripted_server import Script, ScriptedServer

MAILBOX = "noreply@contoso.com"
PASSWORD = "a-password-for-tests"
CREDENTIALS = Password(MAILBOX, PASSWORD)
ACCOUNT = Account(MAILBOX, password=PASSWORD, token="a-token-for-tests", send_as=("*@contoso.com",))
ENVELOPE = Envelope(MAILBOX, ("ada@example.net",))
HEADER = b"From: noreply@contoso.com\r\nTo: ada@example.net\r\nMessage-ID: <1@contoso.com>\r\nSubject: Hello\r\n\r\n"
CONTENT = HEADER + b"Hello, Ada.\r\n"
LIMITS = ExchangeLimits(connections_sending=1000, messages_per_minute=10**9, tarpit=0)
_FIELDS = {
    Phase.GREETING: "greeting",
    Phase.EHLO: "ehlo",
    Phase.STARTTLS: "starttls",
    Phase.AUTH: "auth",
    Phase.MAIL: "mail",
    Phase.RCPT: "rcpt",
    Phase.DATA: "data",
    Phase.CONTENT: "stall",
    Phase.DOT: "dot",
}


def short_timeout(phase: Phase) -> Timeouts:
    """Return timeouts with 0.3 s for one phase; all other phases have the default."""
    return replace(Timeouts(min_upload_rate=1e9), **{_FIELDS[phase]: 0.3})


class ManualClock:
    """Clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def allow_dot() -> bool:
    """Return True as `before_dot`: the message may be sent."""
    return True


def upstream(
    server: Simulator | ScriptedServer, ca_file: Path, timeouts: Timeouts | None = None, **changes: Any
) -> Upstream:
    """Return the Upstream of a server on loopback."""
    facts: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "ehlo_name": "relay.contoso.com",
        "tls": tls.context(ca_file),
        "timeouts": timeouts or Timeouts(),
    }
    return Upstream(**{**facts, **changes})


class Connections:
    """Servers and sessions that live as long as the test."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._opened: list[Session] = []

    async def simulator(self, **options: Any) -> Simulator:
        """Start a simulator with one account and no limits."""
        options = {"accounts": [ACCOUNT], "clock": Clock(), "limits": LIMITS, **options}
        return await self._stack.enter_async_context(Simulator(**options))

    async def scripted_server(self, script: Script, **options: Any) -> ScriptedServer:
        """Start a server that runs `script` for each connection."""
        return await self._stack.enter_async_context(ScriptedServer(script, self._folder, **options))

    def upstream_to(
        self, server: Simulator | ScriptedServer, timeouts: Timeouts | None = None, **changes: Any
    ) -> Upstream:
        """Return the Upstream of a server."""
        if isinstance(server, ScriptedServer):
            return upstream(server, server.ca_file, timeouts, **changes)
        server.write_ca(self._folder / "ca.pem")
        return upstream(server, self._folder / "ca.pem", timeouts, **changes)

    async def open_session(
        self, server: Simulator | ScriptedServer, timeouts: Timeouts | None = None
    ) -> Session | Refusal:
        """Open a session; return it or the refusal."""
        opened = await open_session(self.upstream_to(server, timeouts), CREDENTIALS)
        if isinstance(opened, Session):
            self._stack.callback(opened.abort)
        return opened

    async def logged_in(self, server: Simulator | ScriptedServer, timeouts: Timeouts | None = None) -> Session:
        """Open a session; fail if it is refused."""
        opened = await self.open_session(server, timeouts)
        assert isinstance(opened, Session), opened
        return opened


@pytest.fixture
async def connections(tmp_path: Path) -> AsyncIterator[Connections]:
    """Close what a test opens: sessions first, then their servers."""
    async with AsyncExitStack() as stack:
        yield Connections(tmp_path, stack)
