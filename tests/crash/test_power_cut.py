"""The power fails: of the file system's writes only what was synced is left, or that and any part of the rest."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.simulator import Simulator
from tests.crash.callers import Callers
from tests.crash.conftest import Figure, Scale
from tests.crash.nurse import Nurse, environment_for, free_port
from tests.crash.platter import Platter, build
from tests.crash.reckoning import Received, reckon
from tests.crash.ring import ends, last_house, pretend_office

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the power cut needs a C compiler (cc)")


@pytest.mark.timeout(900)
async def test_accepted_means_synced(nurse: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure) -> None:
    """A 200 is sent only after the commit reached the disk: whatever was not synced is lost, no accepted message is."""
    platter = Platter(tmp_path)
    async with pretend_office() as simulator:
        power = await Power.on(simulator, nurse, tmp_path, platter)
        callers, chance, by_itself = power.callers, random.Random(3), 0
        for number in range(scale.cuts):
            after = chance.randint(1, 700) if number % 2 else 0  # at a write or sync of its own, or at any time
            by_itself += await power.up_and_down(chance, AFTER=str(after) if after else "-1")
            platter.cut(chance if number % 4 > 1 else None)
            lost = power.accepted() - platter.kept(tmp_path)
            assert not lost, f"{len(lost)} of {len(callers.accepted)} lost at cut {number}"
        await power.off()
        async with last_house(simulator, platter.data) as at_home:
            total = reckon(await ends(at_home, callers.accepted), Received(simulator.messages))
    assert power.nurse.logged("crashed") == 0, power.nurse.tail()
    figure("power cuts (at its n-th write or sync)", f"{scale.cuts} ({by_itself})")
    figure("posts / 200 read / lost", f"{len(callers.posts)} / {total.emails} / 0")
    figure("relayed / held as unknown", f"{total.relayed} / {total.held_as_unknown}")
    figure("doubts / flagged / taken twice", f"{total.doubts} / {total.flagged} / {total.twice}")


@pytest.mark.timeout(120)
async def test_the_imitation_can_lose_mail(nurse: Callable[..., Any], tmp_path: Path, figure: Figure) -> None:
    """With a log that is not synced at commit (as PRAGMA synchronous=NORMAL or OFF would have it) mail is lost."""
    platter = Platter(tmp_path)
    async with pretend_office() as simulator:
        power = await Power.on(simulator, nurse, tmp_path, platter)
        await power.up_and_down(random.Random(4), LIE="-wal")
        platter.cut(None)
        lost = power.accepted() - platter.kept(tmp_path)
        await power.off()
    assert lost
    figure("with a log that is not synced: 200 read / lost", f"{len(power.callers.accepted)} / {len(lost)}")


class Power:
    """A Postern on the platter, with callers before it."""

    def __init__(self, nurse: Nurse, environment: dict[str, str], platter: Platter, port: int) -> None:
        self.nurse = nurse
        self.callers = Callers(port, random.Random(5), pause=0.03)
        self._calling = asyncio.create_task(self.callers.run())
        self._environment = environment
        self._platter = platter

    @classmethod
    async def on(cls, simulator: Simulator, nurse: Callable[..., Any], folder: Path, platter: Platter) -> "Power":
        """Ready for a first start."""
        port = free_port()
        keeper = await nurse(LD_PRELOAD=str(build(folder)))
        return cls(keeper, environment_for(simulator, platter.data, port), platter, port)

    async def up_and_down(self, chance: random.Random, **shim: str) -> bool:
        """Start, let it accept, and cut. True if it cut itself."""
        before, wanted = self.callers.answered, chance.randint(1, 60)
        child = await self.nurse.start({**self._environment, **self._platter.environment(**shim)})
        async with asyncio.timeout(60):
            while self.callers.answered < before + wanted and not child.ended.is_set():
                await asyncio.sleep(chance.uniform(0.0, 0.02))
        by_itself = child.ended.is_set()
        await child.kill()
        await asyncio.sleep(0)
        return by_itself

    def accepted(self) -> set[UUID]:
        """The ids for which a 200 was read."""
        return {UUID(id) for post in self.callers.accepted for id in post.ids}

    async def off(self) -> None:
        """No callers any more: what was begun under a key and not answered is given up."""
        self._calling.cancel()
        await asyncio.gather(self._calling, return_exceptions=True)
        await self.callers.close()
