"""Wall clock changes of an hour or a day in both directions, while mail is in flight, but not at the upstream."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Delay, ExchangeLimits, Fault, Point, Say, Simulator
from tests.clock import JumpingClock, LoopClock, advance, autojump
from tests.crash.callers import Callers
from tests.crash.conftest import Figure, Scale
from tests.crash.kill_loop import simulated_upstream
from tests.crash.process_control import environment_for, free_port
from tests.crash.verification import Received, verify
from tests.harness import ACCOUNT, Harness, open_harness, settings_for
from tests.waiting import WAIT_TIMEOUT, until

HOUR, DAY = 3600.0, 86_400.0
JUMPS = {"a day ahead": DAY, "a day back": -DAY, "an hour ahead": HOUR, "an hour back": -HOUR}
BOUND = 150.0  # seconds of the clock in which all must have gone: the deferred ones after 30, and two minutes of pace
PACE = ExchangeLimits(messages_per_minute=30)
BUSY = Say("421 4.3.2 Service not available", close=True)
LIBRARIES = [f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1" for machine in ("x86_64", "aarch64")]


def cases() -> list[Any]:
    """Yield each change, in a running process and over a restart."""
    return [
        pytest.param(seconds, restarted, id=f"{name}, {'over a restart' if restarted else 'running'}")
        for name, seconds in JUMPS.items()
        for restarted in (False, True)
    ]


@pytest.mark.parametrize(("jump", "restarted"), cases())
@autojump
async def test_a_clock_change_loses_and_duplicates_nothing(
    jump: float, restarted: bool, tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """No limit is exceeded, and all mail is sent in its real time."""
    if scale.quick and abs(jump) == HOUR:
        pytest.skip("an hour is tried in the full form only")
    clock = JumpingClock()
    async with Simulator(accounts=[ACCOUNT], clock=LoopClock(), limits=PACE) as simulator, AsyncExitStack() as stack:
        settings = settings_for(simulator, tmp_path, drain_seconds=30)
        harness = await stack.enter_async_context(open_harness(simulator, settings, clock))
        ids = await everywhere(harness)
        if restarted:
            await stack.aclose()
        clock.jump(jump)
        if restarted:
            harness = await stack.enter_async_context(open_harness(simulator, settings, clock))
        started = clock.monotonic()
        ids += [await harness.post(to=f"after{number}@example.net") for number in range(10)]
        emails = await all_ended(harness, ids)
        took = clock.monotonic() - started
    total = verify(emails, Received(simulator.messages))
    assert simulator.violations == []
    assert (total.relayed, total.doubts) == (len(ids), 0)
    figure(
        "relayed / twice / over a limit", f"{total.relayed} / {total.twice} / 0, all after {took:.0f} s of the clock"
    )


class Begun(JumpingClock):
    """Clock whose `monotonic` began a day later, with the same wall clock."""

    ahead = DAY

    def monotonic(self) -> float:
        """Seconds since it began."""
        return super().monotonic() - DAY


@autojump
async def test_another_monotonic_epoch_is_no_clock_change(tmp_path: Path) -> None:
    """As in another sandbox of the same machine."""
    async with Simulator(accounts=[ACCOUNT], clock=LoopClock(), limits=PACE) as simulator:
        settings = settings_for(simulator, tmp_path)
        async with open_harness(simulator, settings, JumpingClock()) as harness:
            ids = [await harness.post(to=f"sent{number}@example.net") for number in range(30)]
            await all_ended(harness, ids)
        await advance(61.0)
        clock = Begun()
        began = clock.monotonic()
        async with open_harness(simulator, settings, clock) as harness:
            ids = [await harness.post(to=f"after{number}@example.net") for number in range(10)]
            await all_ended(harness, ids)
            assert clock.monotonic() - began < 30.0


async def everywhere(harness: Harness) -> list[Any]:
    """Create emails in every state: relayed, deferred, active, and behind a pause."""
    faults = harness.simulator.faults
    faults.add(Fault(at=Point.RCPT, do=Say("451 4.3.0 later"), recipient="later*", times=4))
    ids = [await harness.post(to=f"sent{number}@example.net") for number in range(10)]
    await harness.simulator.wait_for(10, WAIT_TIMEOUT)
    later = [await harness.post(to=f"later{number}@example.net") for number in range(4)]
    for id in later:
        await harness.until(id, "deferred")
    slow = faults.add(Fault(at=Point.DOT, do=Delay(20.0), recipient="slow*"))
    ids += later + [await harness.post(to=f"slow{number}@example.net") for number in range(2)]
    await slow.wait(WAIT_TIMEOUT)
    busy = faults.add(Fault(at=Point.DATA, do=BUSY, times=1))
    ids += [await harness.post(to=f"behind{number}@example.net") for number in range(6)]
    await busy.wait(WAIT_TIMEOUT)
    return ids


async def all_ended(harness: Harness, ids: list[Any]) -> list[dict[str, Any]]:
    """Return every email once it has ended."""
    async with asyncio.timeout(BOUND):
        return [await harness.until(id, "done", "held") for id in ids]


@pytest.mark.parametrize("jump", ["+1d", "-1d"], ids=["a day ahead", "a day back"])
async def test_a_clock_change_of_the_machine(
    jump: str, process_control: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """The same with `postern serve`, whose time is set by libfaketime."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None:
        pytest.skip("it needs libfaketime (on Debian: the package faketime)")
    if scale.quick:
        pytest.skip("it is tried in the full form only")
    time_file, port = tmp_path / "time", free_port()
    time_file.write_text("+0", "ascii")
    control = await process_control(
        LD_PRELOAD=library,
        FAKETIME_TIMESTAMP_FILE=str(time_file),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    async with simulated_upstream() as simulator:
        busy = simulator.faults.add(Fault(at=Point.DATA, do=BUSY, nth=40, times=1))
        child = await control.start(environment_for(simulator, tmp_path / "data", port))
        async with Callers(port, random.Random(6)) as callers:
            await busy.wait(WAIT_TIMEOUT)
            set_at = time.monotonic()
            time_file.write_text(jump, "ascii")
            before = callers.answered
            await until(lambda: callers.answered >= before + 50)
            await callers.stop()
        await simulator.wait_for(len(callers.accepted), 30)
        took = time.monotonic() - set_at
        await child.kill()
    assert len(simulator.accepted) == len(callers.accepted)
    figure("relayed, each once", f"{len(callers.accepted)}, all {took:.0f} s after the jump and a pause of 5 s")
