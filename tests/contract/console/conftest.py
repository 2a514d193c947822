"""A whole Postern with a console, and a person who is logged in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.simulator import Simulator
from tests.contract.console.operator import CONSOLE_PASSWORD, Operator, visitor
from tests.house import ACCOUNT, House, house, settings_for


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """Postern and its upstream."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, console_password=SecretStr(CONSOLE_PASSWORD))
        async with house(simulator, settings) as home:
            yield home


@pytest.fixture
async def operator(home: House) -> AsyncIterator[Operator]:
    """A person who knows the password."""
    async with visitor(home) as operator:
        await operator.log_in()
        yield operator
