"""Tests with packages of the registries. They run only if named: `make sdks`, or pytest with a path in this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, Harness, open_harness, settings_for


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern with a simulator; webhooks may go to this machine."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, webhook_private_addresses=True)
        async with open_harness(simulator, settings) as harness:
            yield harness
