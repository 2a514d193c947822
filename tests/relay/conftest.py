"""Fixtures: a simulator and a Postern for each test."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, Harness, open_harness, settings_for


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Running simulator of Office 365."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        yield simulator


@pytest.fixture
async def harness(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern in front of it, without a rate limit."""
    simulator.limits = replace(simulator.limits, messages_per_minute=100_000)
    async with open_harness(simulator, settings_for(simulator, tmp_path, messages_per_minute=100_000)) as harness:
        yield harness
