"""Postern with a simulated Exchange, its message trace and Entra ID, in virtual time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from app.simulator import Simulator
from app.simulator.entra import TENANT
from app.simulator.trace import MessageTrace
from app.simulator.trace.throttle import LIMIT, WINDOW
from tests.clock import JumpingClock
from tests.entra import CLIENT, SECRET, running_entra
from tests.harness import ACCOUNT, Harness, open_harness, settings_for
from tests.waiting import until

TRACE_WAIT = 900.0  # virtual seconds until a report must have been read
HOUR = 3600.0
REQUESTS_OF_A_PASS = 2  # with a sweep


@dataclass(slots=True)
class World:
    """Running Postern with the trace."""

    harness: Harness
    simulator: Simulator
    trace: MessageTrace
    clock: JumpingClock

    async def deliveries(self, id: UUID) -> dict[str, str | None]:
        """Return by address the state of the delivery."""
        recipients = (await self.harness.email(id))["relay"]["recipients"]
        return {one["address"]: one["delivery"]["state"] if "delivery" in one else None for one in recipients}

    async def until_delivery(self, id: UUID, address: str, state: str) -> dict[str, Any]:
        """Return the email once the delivery to this address is in this state."""

        async def reached() -> bool:
            return (await self.deliveries(id))[address] == state

        await until(reached, TRACE_WAIT)
        return await self.harness.email(id)

    async def passes(self, number: int = 2) -> None:
        """Wait until the trace has been read as often again."""
        before = len(self.lists)
        await until(lambda: len(self.lists) >= before + number * REQUESTS_OF_A_PASS or None, 10 * TRACE_WAIT)

    @property
    def lists(self) -> list[float]:
        """Times of the successful lists."""
        return [one.at for one in self.trace.requests if one.call == "list" and one.status == 200]

    def check_budget(self) -> None:
        """Check that the requests of no five minutes were more than the limit, and none was refused."""
        times = [one.at for one in self.trace.requests]
        assert all(one.status != 429 for one in self.trace.requests)
        for at in times:
            assert sum(at <= other < at + WINDOW for other in times) <= LIMIT


@asynccontextmanager
async def tenant(
    folder: Path, clock: JumpingClock
) -> AsyncIterator[tuple[Simulator, MessageTrace, Callable[..., Any]]]:
    """Run the simulated tenant; yield it with a function that returns the settings of a Postern for it."""
    async with (
        Simulator([ACCOUNT], clock) as simulator,
        running_entra(simulator, folder) as entra,
        MessageTrace(simulator, entra.entra) as trace,
    ):

        def settings(**changes: Any) -> Any:
            facts = {
                "trace": True,
                "trace_tenant_id": TENANT,
                "trace_client_id": CLIENT,
                "trace_client_secret": SecretStr(SECRET),
                "authority": entra.entra.authority,
                "token_ca_file": entra.ca_file,
                "graph_url": trace.url,
                "messages_per_minute": 100_000,
                "recipients_per_day": 1_000_000,
            }
            return settings_for(simulator, folder, **{**facts, **changes})

        yield simulator, trace, settings


@asynccontextmanager
async def world(folder: Path, **changes: Any) -> AsyncIterator[World]:
    """Run the tenant and a Postern for it."""
    clock = JumpingClock()
    async with tenant(folder, clock) as (simulator, trace, settings):
        simulator.limits = no_limits(simulator)
        async with open_harness(simulator, settings(**changes), clock) as harness:
            yield World(harness, simulator, trace, clock)


def no_limits(simulator: Simulator) -> Any:
    """Return limits that the tests do not reach."""
    return replace(simulator.limits, messages_per_minute=1_000_000, recipients_per_day=1_000_000)
