"""A whole Postern with a console, and a person who is logged in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.harness import ACCOUNT, Harness, harness, settings_for


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern and its upstream."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with harness(simulator, settings) as home:
            yield home


@pytest.fixture
async def operator(home: Harness) -> AsyncIterator[Operator]:
    """A person who knows the password."""
    async with visitor(home) as operator:
        await operator.log_in()
        yield operator
