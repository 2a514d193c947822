"""Usage in GET /mailboxes equals the upstream's counts."""

from pathlib import Path

from app.simulator import Delay, Fault, Point, Simulator
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT

TWO = ["ada@example.net", "charles@example.net"]


async def used(harness: Harness) -> dict[str, int]:
    """Return the usage as an operator reads it."""
    answer = await harness.caller.get("/mailboxes")
    (mailbox,) = answer.json()["data"]
    assert mailbox["limits"] == {"connections": 3, "messages_per_minute": 30, "recipients_per_day": 10_000}
    assert mailbox["credential"]["what"] == "password"
    usage: dict[str, int] = mailbox["usage"]
    return usage


@autojump
async def test_usage_equals_the_upstreams_counts(tmp_path: Path) -> None:
    """Messages leave their window, recipients of the day stay; an active message counts."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock) as simulator:
        slow = simulator.faults.add(Fault(at=Point.DOT, do=Delay(20.0), recipient="slow*"))
        async with open_harness(simulator, settings_for(simulator, tmp_path), clock) as harness:
            assert await used(harness) == {"connections": 0, "messages_last_minute": 0, "recipients_last_day": 0}
            for id in [await harness.post(to=TWO) for _ in range(3)]:
                await harness.until(id, "done")
            on_its_way = await harness.post(to="slow@example.net")
            await slow.wait(WAIT_TIMEOUT)
            assert await used(harness) == {"connections": 1, "messages_last_minute": 4, "recipients_last_day": 7}
            await harness.until(on_its_way, "done")
            await clock.advance(61.0)
            assert await used(harness) == {"connections": 0, "messages_last_minute": 0, "recipients_last_day": 7}
