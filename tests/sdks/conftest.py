"""This ring needs the registries, so it runs only when it is named: `make sdks`, or pytest with a path in here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.harness import ACCOUNT, Harness, open_harness, settings_for


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """Postern in front of a simulator; webhooks may come back to this machine."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, webhook_private_addresses=True)
        async with open_harness(simulator, settings) as harness:
            yield harness
