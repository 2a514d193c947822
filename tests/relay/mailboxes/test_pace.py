"""Exchange's limits are obeyed and fully used, in compressed time and over a restart."""

import asyncio
from pathlib import Path

import pytest

from app.simulator import Simulator
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, EMAIL, Harness, open_harness, settings_for

MESSAGES = 1000
MINUTE, LIMIT = 60.0, 30


@pytest.mark.timeout(300)  # real seconds, on a machine with much else to do
@autojump
async def test_a_thousand_messages_at_the_real_limits_with_a_restart(tmp_path: Path) -> None:
    """No 432, no window over 30 a minute or 3 connections, at least 98 % of the limit used."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock) as simulator:
        settings = settings_for(simulator, tmp_path)
        async with open_harness(simulator, settings, clock) as harness:
            await post_all(harness)
            await simulator.wait_for(MESSAGES // 2, 2000)
        async with open_harness(simulator, settings, clock):
            await simulator.wait_for(MESSAGES, 2000)
        sent = [seen.at for seen in simulator.accepted]
        assert len(sent) == MESSAGES
        assert [seen.reply for seen in simulator.messages if seen.reply.startswith("432")] == []
        assert simulator.violations == []
        share = share_of_limit(sent)
        print(f"share of the limit used: {share:.2%}")
        assert share >= 0.98


async def post_all(harness: Harness) -> None:
    """Post from many concurrent callers."""
    gate = asyncio.Semaphore(16)

    async def post() -> None:
        async with gate:
            answer = await harness.caller.post("/emails", json=EMAIL)
            assert answer.status_code == 200

    await asyncio.gather(*(post() for _ in range(MESSAGES)))


def share_of_limit(sent: list[float]) -> float:
    """Return the least time for so many messages under a sliding limit, divided by the time they took."""
    needed = (len(sent) - 1) // LIMIT * MINUTE
    return needed / (sent[-1] - sent[0])
