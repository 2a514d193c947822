"""Wall clock set back by an hour: retry delays are not longer by an hour."""

from pathlib import Path

import pytest

from app.simulator import Fault, Point, Say, Simulator
from tests.clock import JumpingClock, LoopClock, autojump
from tests.harness import ACCOUNT, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT

HOUR = 3600.0
LATER = Fault(at=Point.RCPT, do=Say("451 4.3.0 later"), times=1)


@autojump
async def test_a_running_process_shifts_retry_delays(tmp_path: Path) -> None:
    """Within seconds; the next attempt follows after the planned delay of about 30 s."""
    clock = JumpingClock()
    async with Simulator(accounts=[ACCOUNT], clock=LoopClock()) as simulator:
        simulator.faults.add(LATER)
        async with open_harness(simulator, settings_for(simulator, tmp_path), clock) as harness:
            id = await harness.post()
            await harness.until(id, "deferred")
            clock.jump(-HOUR)
            assert (await harness.until(id, "done"))["last_event"] == "sent"
        assert 24.0 < clock.monotonic() < WAIT_TIMEOUT


@pytest.mark.parametrize("back", [HOUR, 0.0], ids=["set back", "not set"])
@autojump
async def test_a_restart_shifts_retry_delays(tmp_path: Path, back: float) -> None:
    """A new process reads the time in the store. Without a clock change the delay stays, too."""
    clock = JumpingClock()
    async with Simulator(accounts=[ACCOUNT], clock=LoopClock()) as simulator:
        simulator.faults.add(LATER)
        settings = settings_for(simulator, tmp_path)
        async with open_harness(simulator, settings, clock) as harness:
            id = await harness.post()
            await harness.until(id, "deferred")
        clock.jump(-back)
        async with open_harness(simulator, settings, clock) as harness:
            assert (await harness.until(id, "done"))["last_event"] == "sent"
        assert 24.0 < clock.monotonic() < WAIT_TIMEOUT
