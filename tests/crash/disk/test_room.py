"""Disk filled by Postern's own mail during a checkpoint, and freed again."""

import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from uuid import UUID

import pytest

from app.store import Store, StoreUnavailableError
from app.store.retention import RetentionCutoffs
from tests.contract.store.build import DAY, NOW, accept, acceptance
from tests.crash.conftest import Figure
from tests.crash.disk.disks import DISKS

LARGE = 500_000  # bytes: a hundred of them fill the log and the file
BOUNDS = RetentionCutoffs(NOW + DAY, contents=NOW, messages=NOW, events=0.0)


@pytest.mark.timeout(120)
async def test_a_disk_full_of_mail_loses_nothing_and_retention_makes_room(tmp_path: Path, figure: Figure) -> None:
    """Accepts are refused, reads succeed; with space again every accepted message is there, ended ones are pruned."""
    with DISKS["full"](tmp_path.resolve()) as disk:
        file = disk.data / "postern.db"
        store = await Store.open(f"sqlite:///{file}")
        over = await accept(store, *(acceptance(content=b"x" * LARGE) for _ in range(20)))
        for id in over:
            await store.cancel(id, NOW)
        stored = await fill(store)
        log = Path(f"{file}-wal").stat().st_size
        await every(store, stored, there=True)
        with suppress(StoreUnavailableError):  # it may find room in what the log has already
            while await store.prune(BOUNDS):
                pass

        subprocess.run(["mount", "-o", "remount,size=256m", str(disk.data)], check=True)
        after = await accept(store, acceptance(content=b"x" * LARGE))
        await steps(lambda: store.prune(BOUNDS))
        await every(store, [*stored, *after], there=True)
        await every(store, over, there=False)
        for id in (*stored, *after):
            await store.cancel(id, NOW)
        await steps(lambda: store.prune(BOUNDS))
        largest = file.stat().st_size
        await steps(store.shrink)
        await store.close()
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        smallest = file.stat().st_size
    assert smallest < largest / 2
    figure("accepted until full / log then / lost", f"{len(stored) + len(over)} / {log // 2**20} MiB / 0")
    figure("file when full of what is over, and after", f"{largest // 2**20} MiB / {smallest // 2**20} MiB")


async def fill(store: Store) -> list[UUID]:
    """Post until refused, three times in all."""
    ids: list[UUID] = []
    refused = 0
    while refused < 3:
        try:
            ids += await accept(store, acceptance(content=b"x" * LARGE))
        except StoreUnavailableError:
            refused += 1
    with pytest.raises(StoreUnavailableError, match="Free some disk space"):
        await accept(store, acceptance(content=b"x" * LARGE))
    return ids


async def every(store: Store, ids: list[UUID] | tuple[UUID, ...], *, there: bool) -> None:
    """Return whether all their contents are stored."""
    for id in ids:
        assert (await store.content(id) is not None) is there


async def steps(step: Callable[[], Awaitable[int]]) -> None:
    """Prune until nothing is left."""
    while await step():
        pass
