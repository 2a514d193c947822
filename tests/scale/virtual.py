"""All replicas in one process, whose time stops while there is work: the work of each second, however slow the machine
is. The statements of a second and their cost at the server are counted.

Nothing is shared here that twenty processes would not share; but as work takes no time, fewer commits meet in one group
than in truth. So the counts are the most that it can be.
"""

import asyncio
from dataclasses import dataclass

from app.relay.coordinator import HeartbeatConfig
from tests.bench.progress import say
from tests.clock import AutojumpLoop, LoopClock
from tests.scale.exchange import Exchange
from tests.scale.probe import Probe, Reading, difference
from tests.scale.replicas import opened
from tests.scale.shape import Shape
from tests.scale.traffic import Callers, history, remember

RHYTHM = HeartbeatConfig(lease=600.0)  # by the database's clock, which does not stand
SETTLE = 10.0  # seconds until it runs evenly
BACKLOG = 10.0  # seconds' worth of mail that waits from the beginning
QUIET = 20.0  # seconds for what is left to go


@dataclass(frozen=True)
class Phase:
    """Load, measured for a number of seconds."""

    name: str
    seconds: float
    messages: int  # taken by Exchange
    share: float  # of what its limits allow
    reading: Reading


@dataclass(frozen=True)
class Outcome:
    """All loads of one shape."""

    shape: Shape
    phases: tuple[Phase, ...]
    busiest: int  # messages of one mailbox in any minute
    fewest: int  # mailboxes of a replica
    most: int
    accepted: int
    taken: int


def simulate(url: str, shape: Shape, seconds: float) -> Outcome:
    """Run on this empty database: at Exchange's limits, then at half of them, then idle."""
    with asyncio.Runner(loop_factory=AutojumpLoop) as runner:
        return runner.run(_simulate(url, shape, seconds))


async def _simulate(url: str, shape: Shape, seconds: float) -> Outcome:
    clock = LoopClock()
    exchange, begin = Exchange(clock), clock.now()
    names = [f"replica-{number}" for number in range(shape.replicas)]
    async with opened(url, names, shape, exchange, RHYTHM) as replicas:
        callers = Callers([replica.store for replica in replicas], shape, clock)
        before = history(shape, begin)
        remember(url, before)
        exchange.taken.update(before)
        await callers.seed(int(shape.a_second * BACKLOG))
        await asyncio.gather(*(replica.start() for replica in replicas))
        say(f"{shape.mailboxes} mailboxes are shared among {shape.replicas} replicas")
        with Probe(url) as gauge:
            run = _Run(shape, exchange, gauge, callers)
            phases = await run.all(seconds)
        owned = [replica.owned for replica in replicas]
    return Outcome(
        shape,
        phases,
        exchange.busiest(),
        min(owned),
        max(owned),
        callers.accepted,
        exchange.between(begin, clock.now()),
    )


class _Run:
    def __init__(self, shape: Shape, exchange: Exchange, gauge: Probe, callers: Callers) -> None:
        self._shape = shape
        self._exchange = exchange
        self._clock = exchange.clock
        self._gauge = gauge
        self._callers = callers

    async def all(self, seconds: float) -> tuple[Phase, ...]:
        full = self._shape.a_second
        await self._callers.submit(full, self._clock.now() + SETTLE)
        at_full = await self._measure("full", seconds, full)
        await self._clock.sleep(QUIET)
        at_half = await self._measure("half", seconds, full / 2)
        await self._clock.sleep(QUIET)
        return at_full, at_half, await self._measure("idle", seconds, None)

    async def _measure(self, name: str, seconds: float, a_second: float | None) -> Phase:
        before, begin = self._gauge.read(), self._clock.now()
        end = begin + seconds
        await (self._callers.submit(a_second, end) if a_second else self._clock.sleep(seconds))
        reading = difference(self._gauge.read(), before)
        messages = self._exchange.between(begin, end)
        share = messages / (self._shape.a_second * seconds)
        say(f"{name}: {messages} messages in {seconds:.0f} s, {share:.1%} of the limit")
        return Phase(name, seconds, messages, share, reading)
