"""Postern without a rate limit, for tests in the loop's own time."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.clock import Clock
from app.simulator import Simulator
from tests.clock import LoopClock
from tests.harness import ACCOUNT, Harness, open_harness, settings_for

Open = Callable[..., AbstractAsyncContextManager[Harness]]


@pytest.fixture
def new_harness(tmp_path: Path) -> Open:
    """Start a Postern with a simulator; a second one in the same test has the same database."""

    @asynccontextmanager
    async def open_one(clock: Clock | None = None, **settings: Any) -> AsyncIterator[Harness]:
        clock = clock or LoopClock()
        async with Simulator(accounts=[ACCOUNT], clock=clock) as simulator:
            simulator.limits = replace(simulator.limits, messages_per_minute=100_000)
            facts = {"messages_per_minute": 100_000, "webhook_private_addresses": True, **settings}
            async with open_harness(simulator, settings_for(simulator, tmp_path, **facts), clock) as harness:
                yield harness

    return open_one
