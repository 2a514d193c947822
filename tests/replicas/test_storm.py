"""Repeated SIGKILL of three replicas with twelve mailboxes, at Exchange's limits in compressed time."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.conftest import Figure
from tests.replicas.conftest import Scale
from tests.replicas.load import Callers, all_ended, verify_all
from tests.waiting import until

REPLICAS, MAILBOXES, PER_MINUTE = 3, 12, 30
PACE = 0.95  # of what live owners allow


@pytest.mark.timeout(1500)
async def test_repeated_kills_lose_nothing(cluster: Callable[..., Any], scale: Scale, figure: Figure) -> None:
    """Accepted mail is relayed, failed or held; a duplicate is flagged; no window exceeds its limit."""
    row = await cluster(replicas=REPLICAS, mailboxes=MAILBOXES, speed=scale.speed)
    chance = random.Random(3)
    await row.up(*range(REPLICAS))
    callers = Callers(row, scale.emails, chance)
    posting = asyncio.create_task(callers.post())
    await until(lambda: len(callers.accepted) >= 200)
    row.begin_to_watch()
    loop, kills = asyncio.get_running_loop(), 0
    began, before = loop.time(), len(row.simulator.messages)
    while len(row.simulator.messages) < 0.9 * scale.emails:
        more = min(len(row.simulator.messages) + scale.kill_every, 0.9 * scale.emails)
        await until(lambda more=more: len(row.simulator.messages) >= more)  # type: ignore[misc] # a default
        victim = chance.randrange(REPLICAS)
        await row.kill(victim)
        kills += 1
        await row.start(victim)
    relayed, held, seconds = len(row.simulator.messages) - before, row.watch.held, loop.time() - began
    await posting
    await all_ended(row, within=300.0)
    account = await verify_all(row, callers.accepted)

    allowed = held * PER_MINUTE / 60 * scale.speed
    figure(
        "kills / emails / real seconds / times real time", f"{kills} / {scale.emails} / {seconds:.0f} / {scale.speed:g}"
    )
    figure("relayed + failed + held, lost", f"{account.relayed} + {account.failed} + {account.held}, 0")
    figure("flagged possible_duplicate / taken twice", f"{account.flagged} / {account.twice}")
    figure("requests answered / cut", f"{dict(callers.answers)} / {callers.cut}")
    figure("mailboxes with a live owner, of twelve", f"{held / seconds:.1f}")
    figure("mailboxes taken over", row.watch.moves)
    figure("pace, of what live owners allow", f"{relayed / allowed:.1%}")
    figure("limits exceeded", len(row.simulator.violations))
    assert account.accepted == scale.emails
    assert row.simulator.violations == []
    assert row.process_control.logged("crashed") == 0, row.process_control.tail()
    assert relayed >= PACE * allowed
