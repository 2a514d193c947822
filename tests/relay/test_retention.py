"""Retention in a running Postern by its settings."""

from dataclasses import dataclass
from pathlib import Path

from app.clock import Clock
from app.simulator import Simulator
from tests.clock import autojump
from tests.harness import ACCOUNT, EMAIL, open_harness, settings_for
from tests.waiting import until

DAY = 86_400.0


@dataclass(frozen=True)
class Later(Clock):
    """Machine's clock, ahead by this many days."""

    days: float = 0.0

    def now(self) -> float:
        """Return epoch seconds."""
        return super().now() + self.days * DAY


@autojump
async def test_contents_and_emails_are_removed_after_their_days(tmp_path: Path) -> None:
    """Waiting mail is relayed meanwhile."""
    async with Simulator(accounts=[ACCOUNT]) as simulator:
        settings = settings_for(simulator, tmp_path, keep_content_days=2, keep_metadata_days=5)
        async with open_harness(simulator, settings) as harness:
            id = await harness.post()
            await harness.until(id, "done")
        async with open_harness(simulator, settings, Later(days=2.5)) as harness:

            async def has_no_content() -> bool:
                return (await harness.email(id))["relay"]["content_removed_at"] is not None

            await until(has_no_content)
            assert (await harness.email(id))["text"] is None
            young = await harness.post()
            await harness.until(young, "done")
        async with open_harness(simulator, settings, Later(days=6)) as harness:

            async def is_removed() -> bool:
                return (await harness.caller.get(f"/emails/{id}")).status_code == 404

            await until(is_removed)
            assert (await harness.email(young))["subject"] == EMAIL["subject"]
