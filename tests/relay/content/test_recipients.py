"""Fifty recipients with every mixture of replies: each gets its own result, and none is attempted after acceptance."""

import random
from collections import Counter
from pathlib import Path

import pytest

from app.clock import Clock
from app.simulator import ExchangeLimits, Fault, Point, Say, Simulator
from tests.harness import ACCOUNT, open_harness, settings_for

FREE = ExchangeLimits(messages_per_minute=100_000, idle=1e9, session=1e9)
REFUSED, DEFERRED, CROWDED = "550 5.1.1 no such user", "451 4.3.0 not just now", "452 4.5.3 Too many recipients"


@pytest.mark.parametrize("seed", range(6))
async def test_fifty_recipients_with_every_mixture(tmp_path: Path, seed: int) -> None:
    """Some refused, some deferred one to three times, some over the limit per transaction, the rest accepted."""
    chance = random.Random(seed)
    everybody = [f"r{number}@example.net" for number in range(50)]
    fates = {address: chance.choice(["ok", "refused", "deferred", "crowded"]) for address in everybody}
    clock = Clock(speed=3600.0)
    async with Simulator(accounts=[ACCOUNT], clock=clock, limits=FREE) as simulator:
        for address, fate in fates.items():
            if fate == "refused":
                simulator.faults.add(Fault(at=Point.RCPT, do=Say(REFUSED), recipient=address))
            elif fate == "deferred":
                times = chance.randint(1, 3)
                simulator.faults.add(Fault(at=Point.RCPT, do=Say(DEFERRED), recipient=address, times=times))
            elif fate == "crowded":
                simulator.faults.add(Fault(at=Point.RCPT, do=Say(CROWDED), recipient=address, times=1))
        async with open_harness(simulator, settings_for(simulator, tmp_path), clock) as harness:
            id = await harness.post(to=everybody[:20], cc=everybody[20:40], bcc=everybody[40:])
            email = await harness.until(id, "done")
        ended = {one["address"]: one["state"] for one in email["relay"]["recipients"]}
        assert ended == {address: "failed" if fates[address] == "refused" else "relayed" for address in everybody}
        taken = Counter(address for seen in simulator.accepted for address in seen.recipients)
        assert taken == Counter(address for address in everybody if fates[address] != "refused")
        assert len({seen.content for seen in simulator.accepted}) == 1


async def test_all_recipients_refused_is_one_attempt_and_no_content(tmp_path: Path) -> None:
    """Refused permanently at RCPT: the message has failed, without DATA."""
    async with Simulator(accounts=[ACCOUNT], limits=FREE) as simulator:
        simulator.faults.add(Fault(at=Point.RCPT, do=Say(REFUSED)))
        async with open_harness(simulator, settings_for(simulator, tmp_path)) as harness:
            email = await harness.until(await harness.post(to=["a@example.net", "b@example.net"]), "done")
        assert email["last_event"] == "failed"
        assert len(email["relay"]["attempts"]) == 1
        assert simulator.messages == []
