"""Fixtures: a complete Postern with a console, and an operator who is logged in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.harness import ACCOUNT, Harness, open_harness, settings_for


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a console, and its simulated upstream."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with open_harness(simulator, settings) as harness:
            yield harness


@pytest.fixture
async def operator(harness: Harness) -> AsyncIterator[Operator]:
    """Operator who has logged in."""
    async with visitor(harness) as operator:
        await operator.log_in()
        yield operator
