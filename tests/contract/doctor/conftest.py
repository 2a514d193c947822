"""Fixture: the servers of one test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.contract.doctor.fixtures import LIMITS, DoctorEnvironment, account, zone
from tests.contract.doctor.name_server import NameServer


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[DoctorEnvironment]:
    """Start a healthy environment."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator([account()], limits=LIMITS))
        names = await stack.enter_async_context(NameServer(zone()))
        yield DoctorEnvironment(simulator, names, tmp_path, stack)
