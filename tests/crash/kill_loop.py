"""Kill loop: a Postern is killed and restarted at once, while callers post and the upstream receives."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from app.clock import Clock
from app.mail.lifecycle import MessageState
from app.simulator import Call, ExchangeLimits, Fault, FaultContext, Point, Simulator
from tests.crash.callers import Callers, Post
from tests.crash.process_control import Child, ProcessControl
from tests.harness import ACCOUNT, Harness, open_harness, settings_for
from tests.states import count_states
from tests.waiting import WAIT_TIMEOUT, until

ACCEPT = "accept"  # at a moment around the accept of a POST
RECOVERY = "recovery"  # while it starts
BLOCK = [*Point, *[ACCEPT] * 4, *[RECOVERY] * 2]  # the mixture: every point of the dialogue, and these
LATE = 15.0  # seconds after which the process is killed even if the trigger was not reached
FREE = ExchangeLimits(messages_per_minute=1_000_000, recipients_per_day=1_000_000_000)
WARM_START, COLD_START = 0.3, 1.6  # seconds within which a start is interrupted
LATER = tuple(range(1, 13))  # the how-many-th time a point is reached
NTH = {
    **dict.fromkeys((Point.CONNECT, Point.GREETING, Point.STARTTLS, Point.TLS, Point.AUTH), (1, 1, 2)),
    Point.EHLO: (1, 2, 3),
    Point.QUIT: (1,),
}
UNDER_WAY = (MessageState.QUEUED, MessageState.ACTIVE, MessageState.DEFERRED)
FAST = 60.0  # times real time, for what is still deferred at the end


@dataclass(slots=True)
class Score:
    """Counts and times in seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)  # triggers that were not reached in time
    struck: list[tuple[Point, str]] = field(default_factory=list)  # the point, and the email there
    warm: list[float] = field(default_factory=list)  # from a kill to the next message relayed
    cold: list[float] = field(default_factory=list)  # the same with a new interpreter


class KillLoop:
    """Kills triggered by the simulator."""

    def __init__(
        self,
        simulator: Simulator,
        process_control: ProcessControl,
        environment: dict[str, str],
        callers: Callers,
        chance: random.Random,
    ) -> None:
        self.score = Score()
        self._simulator = simulator
        self._process_control = process_control
        self._environment = environment
        self._callers = callers
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._down: tuple[float, float] | None = None  # since when: the loop's clock, the simulator's
        simulator.faults.add(Fault(at=Point.ACCEPTED, do=Call(self._relayed), name="watch"))

    async def run(self, kills: int, every_cold: int) -> None:
        """Kill this many times; every n-th start is a new interpreter."""
        for number, trigger in zip(range(kills), self._triggers(), strict=False):
            self._child = await self._process_control.start(
                self._environment, cold=number % every_cold == every_cold - 1
            )
            await self._pull(trigger, self._child)
            self.score.kills[trigger] += 1
            self._down = self._loop.time(), self._simulator.clock.now()

    def _triggers(self) -> Iterator[str]:
        while True:
            yield from self._chance.sample(BLOCK, len(BLOCK))

    async def _pull(self, trigger: str, child: Child) -> None:
        if trigger in (ACCEPT, RECOVERY):
            await (self._around_an_accept() if trigger == ACCEPT else self._during_recovery(child))
            assert not child.ended.is_set(), f"it ended by itself: {self._process_control.tail()}"
        else:
            await self._at(Point(trigger), child)
        await child.kill()

    async def _during_recovery(self, child: Child) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, COLD_START if child.cold else WARM_START))

    async def _at(self, point: Point, child: Child) -> None:
        """Kill from the simulator, which continues once the process is gone."""

        async def kill(moment: FaultContext) -> None:
            struck.set()
            self.score.struck += [(point, address) for address in moment.recipients]
            await child.kill()

        struck = asyncio.Event()
        after = self._chance.choice((0, 200, 70_000)) if point is Point.CONTENT else 0
        nth = 1 if after > 200 else self._chance.choice(NTH.get(point, LATER))
        self._simulator.faults.add(Fault(at=point, do=Call(kill), nth=nth, after=after, name="kill"))
        bait = f"bait{self.score.kills.total()}"  # one email more, of the size that is wanted
        self._callers.begin(Post(f"{bait}@example.net", bait, large=after > 200))
        try:
            async with asyncio.timeout(LATE):
                if point is Point.QUIT:
                    await self._stop(child)
                await child.ended.wait()
        except TimeoutError:
            self.score.late[point] += 1
        finally:
            self._simulator.faults.remove("kill")
        assert struck.is_set() or not child.ended.is_set(), f"it ended by itself: {self._process_control.tail()}"

    async def _stop(self, child: Child) -> None:
        """Send SIGTERM once a message was relayed: sessions end with QUIT."""
        before = len(self._simulator.messages)
        await until(lambda: len(self._simulator.messages) > before)
        child.signal(signal.SIGTERM)

    async def _around_an_accept(self) -> None:
        """Kill while the n-th POST to this process is in flight, within the time of an accept."""
        in_flight = asyncio.Event()
        answered, wanted = self._callers.answered, self._chance.randint(1, 30)

        def count() -> None:
            nonlocal wanted
            wanted -= self._callers.answered > answered  # it answers requests
            if wanted <= 0:
                in_flight.set()

        self._callers.on_post = count
        await asyncio.wait_for(in_flight.wait(), WAIT_TIMEOUT)
        await asyncio.sleep(self._chance.uniform(0.0, 0.006))

    async def _relayed(self, moment: FaultContext) -> None:
        """Record the time until the first message of a new process."""
        if self._down is not None and moment.session.opened_at > self._down[1]:
            assert self._child is not None
            (self.score.cold if self._child.cold else self.score.warm).append(self._loop.time() - self._down[0])
            self._down = None


@asynccontextmanager
async def last_postern(simulator: Simulator, data: Path, speed: float = FAST, **changes: Any) -> AsyncIterator[Harness]:
    """Start Postern for the last time, on a fast clock, so that deferred mail is due soon."""
    facts = {"messages_per_minute": 1_000_000, "recipients_per_day": 1_000_000_000, **changes}
    settings = settings_for(simulator, data, **facts)
    async with open_harness(simulator, settings, Clock(speed)) as harness:
        yield harness


async def ends(harness: Harness, posts: Iterable[Post], within: float = WAIT_TIMEOUT) -> list[dict[str, Any]]:
    """Return every accepted email once it has ended: relayed, or held with an unknown outcome."""
    return await ends_of(harness, [UUID(id) for post in posts for id in post.ids], within)


async def ends_of(harness: Harness, ids: Iterable[UUID], within: float = WAIT_TIMEOUT) -> list[dict[str, Any]]:
    """Return these by id. Raises TimeoutError if an email is still unfinished after this many real seconds."""
    counts: dict[MessageState, int] = {}

    async def ended() -> bool:
        nonlocal counts
        counts = await count_states(harness.postern.store)
        return not any(counts[state] for state in UNDER_WAY)

    try:
        await until(ended, within)
    except TimeoutError:
        raise TimeoutError(f"after {within} s there are {counts}") from None
    waiting = iter(ids)

    async def read() -> list[dict[str, Any]]:
        return [await harness.email(id) for id in waiting]

    return [email for part in await asyncio.gather(*(read() for _ in range(8))) for email in part]


def simulated_upstream() -> Simulator:
    """Return an upstream without a rate limit, but with the limit of three connections."""
    return Simulator(accounts=[ACCOUNT], limits=FREE)
