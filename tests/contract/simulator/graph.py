"""Simulated Microsoft Graph with a client that has a token."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx

from app.simulator import Simulator
from app.simulator.entra import TENANT, App, Entra
from app.simulator.trace import MessageTrace, TraceRow
from tests.clock import JumpingClock
from tests.contract.simulator.client import ACCOUNT, Client

CLIENT = "0d3c5b1a-2e47-4f7c-9a51-6c8e7f2d4b90"
TRACES = "/v1.0/admin/exchange/tracing/messageTraces"
NETWORK_ID = UUID("6c1f0c0e-9b3f-4f1a-8a53-08dc3a6f2b11")


class Graph:
    """Client of Graph with a token."""

    def __init__(self, http: httpx.AsyncClient, sim: Simulator, trace: MessageTrace, token: str) -> None:
        self.http, self.sim, self.trace = http, sim, trace
        self.headers = {"Authorization": f"Bearer {token}"}

    @property
    def clock(self) -> JumpingClock:
        """Clock of everything here."""
        assert isinstance(self.sim.clock, JumpingClock)
        return self.sim.clock

    async def get(self, url: str = TRACES, **params: Any) -> httpx.Response:
        """Send a GET."""
        return await self.http.get(url, params=params or None, headers=self.headers)

    async def statuses(self, **params: Any) -> dict[str, str]:
        """Return status by recipient of one page."""
        page = (await self.get(**params)).json()
        return {row["recipientAddress"]: row["status"] for row in page["value"]}

    def row(self, recipient: str, **changes: Any) -> TraceRow:
        """Return a row of other mail, received now."""
        row = TraceRow(
            NETWORK_ID, "<a@contoso.com>", "noreply@contoso.com", recipient, int(self.clock.now()), "delivered"
        )
        return replace(row, **changes)

    async def accept(self, *recipients: str) -> None:
        """Let the SMTP simulator take a message."""
        client = await Client.ready(self.sim)
        try:
            await client.command(f"MAIL FROM:<{ACCOUNT.address}>")
            for recipient in recipients:
                await client.command(f"RCPT TO:<{recipient}>")
            await client.command("DATA")
            lines = (
                f"From: {ACCOUNT.address}",
                "To: ada@example.net",
                "Message-ID: <one@contoso.com>",
                "",
                "Hello.",
                ".",
            )
            assert (await client.command("\r\n".join(lines))).startswith("250")
        finally:
            await client.close()


@asynccontextmanager
async def running_graph() -> AsyncIterator[Graph]:
    """Run Graph, without mail."""
    async with (
        Simulator([ACCOUNT], JumpingClock()) as sim,
        Entra(sim, [App(CLIENT, secrets=("made-up",))]) as entra,
        MessageTrace(sim, entra) as trace,
    ):
        verify = ssl.create_default_context(cadata=sim.ca_pem)
        async with httpx.AsyncClient(base_url=trace.url, verify=verify, trust_env=False) as http:
            form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": "made-up"}
            form["scope"] = f"{trace.url}/.default"
            token = (await http.post(f"{entra.authority}/{TENANT}/oauth2/v2.0/token", data=form)).json()
            yield Graph(http, sim, trace, token["access_token"])
