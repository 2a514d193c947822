"""Simulators and clients for these tests. The clock is 60 times as fast, and there is no tarpit by default."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.clock import Clock
from app.simulator import ExchangeLimits, Simulator
from tests.contract.simulator.client import ACCOUNT, Client
from tests.contract.simulator.graph import Graph, running_graph

Start = Callable[..., Awaitable[Simulator]]
Ready = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Return a function that starts simulators, which are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def started(*, speed: float = 60.0, limits: ExchangeLimits | None = None, **options: Any) -> Simulator:
            limits = limits or ExchangeLimits(tarpit=0)
            return await stack.enter_async_context(Simulator([ACCOUNT], Clock(speed), limits, **options))

        yield started


@pytest.fixture
async def sim(start: Start) -> Simulator:
    """Running simulator."""
    return await start()


@pytest.fixture
async def clients() -> AsyncIterator[list[Client]]:
    """List of clients that are closed at the end."""
    opened: list[Client] = []
    yield opened
    for client in opened:
        await client.close()


@pytest.fixture
def ready(clients: list[Client]) -> Ready:
    """Return a function that logs clients in, which are closed at the end."""

    async def opened(sim: Simulator) -> Client:
        clients.append(await Client.ready(sim))
        return clients[-1]

    return opened


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    """Running Graph, without mail."""
    async with running_graph() as graph:
        yield graph
