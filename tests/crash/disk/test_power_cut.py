"""Power cuts: only synced writes of the file system survive, or these and any part of the rest."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.simulator import Simulator
from tests.crash.callers import Callers
from tests.crash.conftest import Figure, Scale
from tests.crash.disk.disk_image import DiskImage, build
from tests.crash.kill_loop import ends, last_postern, simulated_upstream
from tests.crash.process_control import ProcessControl, environment_for, free_port
from tests.crash.verification import Received, verify

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the power cut needs a C compiler (cc)")


@pytest.mark.timeout(900)
async def test_accepted_means_synced(
    process_control: Callable[..., Any], tmp_path: Path, scale: Scale, figure: Figure
) -> None:
    """A 200 is sent only after the commit reached the disk: no accepted message is lost."""
    disk_image, chance, by_itself = DiskImage(tmp_path), random.Random(3), 0
    async with simulated_upstream() as simulator:
        async with powered(simulator, process_control, tmp_path, disk_image) as power:
            for number in range(scale.cuts):
                after = chance.randint(1, 700) if number % 2 else -1  # at a write or sync of its own, or at any time
                by_itself += await power.start_and_cut(chance, AFTER=str(after))
                disk_image.cut(chance if number % 4 > 1 else None)
                lost = power.accepted() - disk_image.stored_ids(tmp_path)
                assert not lost, f"{len(lost)} of {len(power.accepted())} lost at cut {number}"
        callers = power.callers
        async with last_postern(simulator, disk_image.data) as harness:
            total = verify(await ends(harness, callers.accepted), Received(simulator.messages))
    assert power.process_control.logged("crashed") == 0, power.process_control.tail()
    figure("power cuts (at its n-th write or sync)", f"{scale.cuts} ({by_itself})")
    figure("posts / 200 read / lost", f"{len(callers.posts)} / {total.emails} / 0")
    figure("relayed / held as unknown", f"{total.relayed} / {total.held_as_unknown}")
    figure("doubts / flagged / taken twice", f"{total.doubts} / {total.flagged} / {total.twice}")


@pytest.mark.timeout(120)
async def test_the_simulated_disk_loses_unsynced_mail(
    process_control: Callable[..., Any], tmp_path: Path, figure: Figure
) -> None:
    """With a log that is not synced at commit, as with PRAGMA synchronous=NORMAL or OFF."""
    disk_image = DiskImage(tmp_path)
    async with simulated_upstream() as simulator, powered(simulator, process_control, tmp_path, disk_image) as power:
        await power.start_and_cut(random.Random(4), LIE="-wal")
        disk_image.cut(None)
        lost = power.accepted() - disk_image.stored_ids(tmp_path)
    assert lost
    figure("with a log that is not synced: 200 read / lost", f"{len(power.accepted())} / {len(lost)}")


@asynccontextmanager
async def powered(
    simulator: Simulator, process_control: Callable[..., Any], folder: Path, disk_image: DiskImage
) -> AsyncIterator["Power"]:
    """Prepare a first start, with callers waiting for it."""
    port = free_port()
    control = await process_control(LD_PRELOAD=str(build(folder)))
    async with Callers(port, random.Random(5), pause=0.03) as callers:
        yield Power(control, environment_for(simulator, disk_image.data, port), disk_image, callers)


class Power:
    """Postern on a DiskImage, with callers."""

    def __init__(
        self, process_control: ProcessControl, environment: dict[str, str], disk_image: DiskImage, callers: Callers
    ) -> None:
        self.process_control = process_control
        self.callers = callers
        self._environment = environment
        self._disk_image = disk_image

    async def start_and_cut(self, chance: random.Random, **shim: str) -> bool:
        """Start, let it accept, and cut. Return whether it cut itself."""
        before, wanted = self.callers.answered, chance.randint(1, 60)
        child = await self.process_control.start({**self._environment, **self._disk_image.environment(**shim)})
        async with asyncio.timeout(60):
            while self.callers.answered < before + wanted and not child.ended.is_set():
                await asyncio.sleep(chance.uniform(0.0, 0.02))
        by_itself = child.ended.is_set()
        await child.kill()
        await asyncio.sleep(0)
        return by_itself

    def accepted(self) -> set[UUID]:
        """Return the ids for which a 200 was read."""
        return {UUID(id) for post in self.callers.accepted for id in post.ids}
