"""Fixtures: a complete Postern with a console, and an operator who is logged in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.harness import ACCOUNT, Harness, harness, settings_for


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a console, and its simulated upstream."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with harness(simulator, settings) as home:
            yield home


@pytest.fixture
async def operator(home: Harness) -> AsyncIterator[Operator]:
    """Operator who has logged in."""
    async with visitor(home) as operator:
        await operator.log_in()
        yield operator
