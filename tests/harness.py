"""Simulator with a Postern in front of it on loopback, and an HTTP client with its key.

With GATEWAY=nginx or GATEWAY=caddy in the environment callers connect through that gateway (tests/gateway), but not in
virtual time, which does not wait for another process.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import httpx
from pydantic import SecretStr

from app.clock import Clock
from app.main import Postern
from app.relay.coordinator import HeartbeatConfig
from app.relay.mailbox import Mailbox
from app.settings import Settings
from app.simulator import Account, Simulator
from tests.clock import AutojumpLoop
from tests.gateway.gateways import gateway, requested
from tests.waiting import WAIT_TIMEOUT, until

MAILBOX = "noreply@contoso.com"
PASSWORD = "a-password-for-tests"
KEY = "a-key-for-the-tests-alone"
ACCOUNT = Account(MAILBOX, password=PASSWORD, send_as=("*@contoso.com",))
EMAIL = {"from": MAILBOX, "to": "ada@example.net", "subject": "Hello", "text": "Hello, Ada.\n"}


class MailServer(Protocol):
    """Server that Postern relays to: the simulator, or the benchmark's sink."""

    @property
    def port(self) -> int:
        """Port of SMTP."""

    def write_ca(self, path: Path) -> None:
        """Write the certificate of its authority (PEM)."""


def settings_for(simulator: MailServer, folder: Path, **changes: Any) -> Settings:
    """Return settings for the simulator, with a free port. A change to None removes the setting."""
    ca_file = folder / "ca.pem"
    simulator.write_ca(ca_file)
    facts: dict[str, Any] = {
        "mailbox": MAILBOX,
        "password": SecretStr(PASSWORD),
        "senders": "*@contoso.com",
        "api_key": SecretStr(KEY),
        "data_dir": folder,
        "smtp_host": "localhost",
        "smtp_port": simulator.port,
        "smtp_ca_file": ca_file,
        "ipv4_only": True,
        "host": "127.0.0.1",
        "port": 0,
        "drain_seconds": 10,
    }
    return Settings(**{name: value for name, value in {**facts, **changes}.items() if value is not None})


@dataclass(slots=True)
class Harness:
    """Running Postern with its simulator and a client."""

    simulator: Simulator
    postern: Postern
    caller: httpx.AsyncClient
    url: str  # where callers reach it, which is the gateway's with GATEWAY=nginx or caddy
    environment: dict[str, str]  # with which their programs trust it

    @property
    def mailbox(self) -> Mailbox:
        """Mailbox of the relay."""
        return self.postern.coordinator.mailboxes[MAILBOX]

    async def post(self, **changes: Any) -> UUID:
        """Post an email that must be accepted; return its id."""
        answer = await self.caller.post("/emails", json={**EMAIL, **changes})
        assert answer.status_code == 200, answer.text
        return UUID(answer.json()["id"])

    async def email(self, id: UUID) -> dict[str, Any]:
        """Return the email as its caller reads it."""
        answer = await self.caller.get(f"/emails/{id}")
        assert answer.status_code == 200, answer.text
        email: dict[str, Any] = answer.json()
        return email

    async def until(self, id: UUID, *states: str) -> dict[str, Any]:
        """Return the email once it is in one of these states of `relay.state`."""

        async def reached() -> dict[str, Any] | None:
            email = await self.email(id)
            return email if email["relay"]["state"] in states else None

        return await until(reached)

    async def until_health(self, health: str, timeout: float = WAIT_TIMEOUT) -> dict[str, Any]:
        """Return the first mailbox of GET /mailboxes that has this health, once there is one."""

        async def reached() -> dict[str, Any] | None:
            mailboxes = (await self.caller.get("/mailboxes")).json()["data"]
            return next((mailbox for mailbox in mailboxes if mailbox["health"] == health), None)

        return await until(reached, timeout)


@asynccontextmanager
async def open_harness(
    simulator: Simulator, settings: Settings, clock: Clock | None = None, heartbeat: HeartbeatConfig | None = None
) -> AsyncIterator[Harness]:
    """Start Postern in front of a simulator that runs."""
    async with Postern(settings, clock, heartbeat) as postern:
        with ExitStack() as stack:
            url, environment, trust = postern.url, dict[str, str](), ssl.create_default_context()
            if kind := requested():
                if isinstance(asyncio.get_running_loop(), AutojumpLoop):
                    raise RuntimeError(f"Virtual time does not wait for {kind}: mark the test as direct.")
                opening = gateway(kind, int(url.rpartition(":")[2]))
                proxy = await asyncio.to_thread(stack.enter_context, opening)
                url, environment, trust = proxy.url, proxy.environment, proxy.trust()
            headers = {"Authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(
                base_url=url, headers=headers, timeout=WAIT_TIMEOUT, trust_env=False, verify=trust
            ) as caller:
                yield Harness(simulator, postern, caller, url, environment)
