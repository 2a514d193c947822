"""A stop or a kill loses no message and duplicates none without a flag."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest

from app.simulator import Call, Delay, ExchangeLimits, Fault, FaultContext, Point, Silence, Simulator
from tests.clock import LoopClock, autojump
from tests.harness import ACCOUNT, EMAIL, KEY, open_harness, settings_for
from tests.processes import serve_environment
from tests.waiting import WAIT_TIMEOUT, until

FREE = ExchangeLimits(messages_per_minute=100_000)


@autojump
async def test_a_stop_waits_for_the_active_message(tmp_path: Path) -> None:
    """Its unanswered dot is settled before the end; the others wait for the next start."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path, connections=1, messages_per_minute=100_000)
        simulator.faults.add(Fault(at=Point.DOT, do=Delay(0.5), nth=1))
        async with open_harness(simulator, settings, clock) as harness:
            ids = [await harness.post() for _ in range(20)]
            await under_way(simulator)
        before = len(simulator.accepted)
        assert 1 <= before < 20
        async with open_harness(simulator, settings, clock) as harness:
            for id in ids:
                email = await harness.until(id, "done")
                assert email["last_event"] == "sent"
                assert not email["relay"]["possible_duplicate"]
        assert len(simulator.accepted) == 20


@autojump
async def test_a_stop_aborts_the_active_message_at_its_timeout(tmp_path: Path) -> None:
    """A dot without a reply is in doubt, flagged, and held."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path, drain_seconds=0.2, messages_per_minute=100_000)
        simulator.faults.add(Fault(at=Point.DOT, do=Delay(600.0), nth=1))
        async with open_harness(simulator, settings, clock) as harness:
            id = await harness.post()
            await under_way(simulator)
        async with open_harness(simulator, settings, clock) as harness:
            email = await harness.until(id, "deferred")
            assert email["relay"]["possible_duplicate"]
            assert email["relay"]["attempts"][0]["phase"] == "dot"


@pytest.mark.parametrize("point", [Point.GREETING, Point.EHLO, Point.STARTTLS, Point.AUTH])
@autojump
async def test_a_stop_does_not_wait_for_a_handshake(tmp_path: Path, point: Point) -> None:
    """A silent server before the login delays no stop; the message is relayed after the next start."""
    clock = LoopClock()
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path, messages_per_minute=100_000)
        silent = simulator.faults.add(Fault(at=point, do=Silence(), times=1))
        async with open_harness(simulator, settings, clock) as harness:
            id = await harness.post()
            await silent.wait(WAIT_TIMEOUT)
            stopping = clock.monotonic()
        assert clock.monotonic() - stopping < 1.0  # of the loop's own time
        async with open_harness(simulator, settings, clock) as harness:
            assert (await harness.until(id, "done"))["last_event"] == "sent"


@pytest.mark.parametrize(
    ("point", "in_doubt"), [(Point.AUTH, False), (Point.MAIL, False), (Point.DATA, False), (Point.ACCEPTED, True)]
)
async def test_a_kill_at_any_phase_loses_nothing(tmp_path: Path, point: Point, in_doubt: bool) -> None:
    """SIGKILL in each phase: the message is relayed after the start, in doubt only after the dot."""
    async with Simulator(accounts=[ACCOUNT], limits=FREE) as simulator:
        settings = settings_for(simulator, tmp_path)
        process, url = await serve(simulator, tmp_path)
        killed = asyncio.Event()

        async def kill(_: FaultContext) -> None:
            process.kill()
            await process.wait()
            killed.set()

        simulator.faults.add(Fault(at=point, do=Call(kill), nth=1))
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as one:
            id = (await one.post("/emails", json=EMAIL)).json()["id"]
            async with asyncio.timeout(WAIT_TIMEOUT):
                await killed.wait()
        async with open_harness(simulator, settings) as harness:
            email = await harness.until(id, "deferred" if in_doubt else "done")
            assert email["relay"]["possible_duplicate"] == in_doubt
            assert [attempt["failure"] is not None for attempt in email["relay"]["attempts"]][:1] == [True]
        assert len(simulator.accepted) == 1


async def test_sigterm_exits_with_zero(tmp_path: Path) -> None:
    async with Simulator(accounts=[ACCOUNT], limits=FREE) as simulator:
        process, url = await serve(simulator, tmp_path)
        async with httpx.AsyncClient(trust_env=False) as one:
            assert (await one.get(f"{url}/readyz")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WAIT_TIMEOUT) == 0


async def serve(simulator: Simulator, folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    """Run `postern serve` as an operator does; its port is in its log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "serve", env=serve_environment(simulator, folder), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(WAIT_TIMEOUT):
        while line := await process.stderr.readline():
            if (said := json.loads(line))["event"] == "started":
                return process, said["url"]
    raise AssertionError("postern serve did not start")


async def under_way(simulator: Simulator) -> None:
    """Wait until the simulator has read a message without answering, or answered a first one."""
    await until(lambda: any(session.commands[-1:] == ["DATA"] for session in simulator.sessions))
