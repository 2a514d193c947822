"""The simulator on uvloop."""

import asyncio

import uvloop

from app.clock import Clock
from app.simulator import Drop, ExchangeLimits, Fault, Garbage, Half, Point, Reset, Simulator, SlowRead
from tests.contract.simulator.client import ACCOUNT, Client, content


async def submit() -> list[str]:
    """Run sessions that end in different ways, and return what the client received."""
    outcomes: list[str] = []
    async with Simulator([ACCOUNT], Clock(60), ExchangeLimits(tarpit=0)) as sim:
        for action in (None, Drop(), Reset(), Half(3), SlowRead(10_000_000)):
            sim.reset()
            if action is not None:
                sim.faults.add(Fault(Point.DOT, action))
            client = await Client.ready(sim)
            try:
                outcomes.append((await client.send(content(body="x" * 300_000 + "\r\n")))[:3])
            except ConnectionError:
                outcomes.append("reset")
            await client.close()
        sim.reset()
        sim.faults.add(Fault(Point.TLS, Garbage(b"no TLS here\r\n")))
        try:
            await Client.ready(sim)
        except OSError as error:
            outcomes.append(type(error).__name__)
    return outcomes


async def test_it_works_on_uvloop() -> None:
    """STARTTLS, FIN, RST and slow reading work, which all need the socket of the event loop."""
    outcomes = await asyncio.to_thread(uvloop.run, submit())
    assert outcomes[0] == "250"
    assert outcomes[1] == ""
    assert outcomes[2] in {"", "reset"}
    assert outcomes[3:] == ["250", "250", "SSLError"]
