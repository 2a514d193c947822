"""A running Postern removes by itself what is over and old, as its settings say."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import retention
from app.clock import Clock
from app.simulator import Simulator
from tests.harness import ACCOUNT, EMAIL, WAIT_TIMEOUT, open_harness, settings_for

DAY = 86_400.0


@dataclass(frozen=True)
class Later(Clock):
    """The machine's clock, so many days ahead."""

    days: float = 0.0

    def now(self) -> float:
        """Epoch seconds."""
        return super().now() + self.days * DAY


async def test_each_goes_after_its_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content first, then the email; what waits is relayed meanwhile as ever."""
    monkeypatch.setattr(retention, "PRUNE_INTERVAL", 0.01)
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, keep_content_days=2, keep_metadata_days=5)
        async with open_harness(simulator, settings) as harness:
            id = await harness.post()
            await harness.until(id, "done")
        async with open_harness(simulator, settings, Later(days=2.5)) as harness:
            async with asyncio.timeout(WAIT_TIMEOUT):
                while (await harness.email(id))["relay"]["content_removed_at"] is None:
                    await asyncio.sleep(0.01)
            assert (await harness.email(id))["text"] is None
            young = await harness.post()
            await harness.until(young, "done")
        async with open_harness(simulator, settings, Later(days=6)) as harness:
            async with asyncio.timeout(WAIT_TIMEOUT):
                while (await harness.caller.get(f"/emails/{id}")).status_code != 404:
                    await asyncio.sleep(0.01)
            assert (await harness.email(young))["subject"] == EMAIL["subject"]
