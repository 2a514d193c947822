"""Retention in a running Postern by its settings."""

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
    """Machine's clock, ahead by this many days."""

    days: float = 0.0

    def now(self) -> float:
        """Return epoch seconds."""
        return super().now() + self.days * DAY


async def test_contents_and_emails_are_removed_after_their_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting mail is relayed meanwhile."""
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
