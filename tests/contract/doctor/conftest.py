"""A clinic for each test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.contract.doctor.clinic import LIMITS, Clinic, account, zone
from tests.contract.doctor.name_server import NameServer


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    """A healthy one."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator([account()], limits=LIMITS))
        names = await stack.enter_async_context(NameServer(zone()))
        yield Clinic(simulator, names, tmp_path, stack)
