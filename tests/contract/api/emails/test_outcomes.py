"""Waits for an outcome, in the loop's own time: queries of the store, and other ends of a wait."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from app.api.emails import outcome_waiter
from app.api.emails.outcome_waiter import POLL_INTERVAL, OutcomeWaiter
from app.store import Store
from tests.clock import LoopClock, autojump
from tests.contract.store.build import NOW, RELAYED, accept, claim_one, settle

UNKNOWN = UUID(int=5)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, LoopClock, UUID]]:
    """Open a store with a clock and one message."""
    store = await Store.open(f"sqlite:///{folder}/postern.db")
    (id,) = await accept(store)
    yield store, LoopClock(), id
    await store.close()


def never() -> bool:
    """Return False: no stop."""
    return False


async def begun(waiting: asyncio.Task[bool]) -> None:
    """Return once it waits."""
    await asyncio.sleep(0)
    assert not waiting.done()


@autojump
async def test_each_wait_ends_after_its_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, clock, id):
        waits, began = OutcomeWaiter(store, clock, never), clock.monotonic()

        async def waited(seconds: float) -> float:
            assert await waits.wait(id, seconds)
            return clock.monotonic() - began

        for seconds, took in zip((30, 1, 0.1), await asyncio.gather(*map(waited, (30, 1, 0.1))), strict=True):
            assert seconds <= took < seconds + 2 * POLL_INTERVAL


@autojump
async def test_all_waits_of_a_message_end_at_its_outcome(tmp_path: Path) -> None:
    """Within one poll. Waits of another message go on."""
    async with opened(tmp_path) as (store, clock, id):
        waits = OutcomeWaiter(store, clock, never)
        waiting = [asyncio.create_task(waits.wait(one, 30)) for one in (id, id, UNKNOWN)]
        await clock.advance(5)
        claimed = await claim_one(store)
        await clock.advance(1)
        assert not any(task.done() for task in waiting)
        assert await settle(store, claimed, RELAYED, NOW)
        began = clock.monotonic()
        assert await asyncio.gather(*waiting[:2]) == [True, True]
        assert clock.monotonic() - began < 2 * POLL_INTERVAL
        assert not waiting[2].done()
        assert await waiting[2]


@autojump
async def test_one_query_per_poll_serves_all_waits(tmp_path: Path) -> None:
    """None without a wait."""
    asked: list[str] = []

    def count(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("SELECT"):
            asked.append(statement)

    async with opened(tmp_path) as (store, clock, id):
        waits = OutcomeWaiter(store, clock, never)
        event.listen(Engine, "before_cursor_execute", count)
        await asyncio.gather(*(waits.wait(id if n % 2 else UNKNOWN, 10) for n in range(200)))
        assert 20 < len(asked) <= 10 / POLL_INTERVAL + 1
        asked.clear()
        await clock.advance(60)
        event.remove(Engine, "before_cursor_execute", count)
        assert asked == []


@autojump
async def test_a_wait_beyond_the_limit_ends_at_once(tmp_path: Path) -> None:
    """The next may wait when another has ended."""
    async with opened(tmp_path) as (store, clock, id):
        waits = OutcomeWaiter(store, clock, never)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outcome_waiter, "MAX_WAITERS", 1)
            first = asyncio.create_task(waits.wait(id, 5))
            await begun(first)
            assert not await waits.wait(id, 5)
            assert await first
            assert await waits.wait(id, 5)


@autojump
async def test_a_stop_ends_all_waits(tmp_path: Path) -> None:
    """Within one poll."""
    stopping = asyncio.Event()
    async with opened(tmp_path) as (store, clock, id):
        waiting = asyncio.create_task(OutcomeWaiter(store, clock, stopping.is_set).wait(id, 30))
        await begun(waiting)
        began = clock.monotonic()
        stopping.set()
        assert await waiting
        assert clock.monotonic() - began < 2 * POLL_INTERVAL


@autojump
async def test_an_unavailable_store_ends_all_waits(tmp_path: Path) -> None:
    """The read that follows reports it, and later waits work again."""
    async with opened(tmp_path) as (store, clock, id):
        waits = OutcomeWaiter(store, clock, never)
        waiting = asyncio.create_task(waits.wait(id, 30))
        await begun(waiting)
        began = clock.monotonic()
        with closing(sqlite3.connect(tmp_path / "postern.db", isolation_level=None)) as other:
            other.execute("ALTER TABLE messages RENAME TO away")
            assert await waiting
            assert clock.monotonic() - began < 2 * POLL_INTERVAL
            other.execute("ALTER TABLE away RENAME TO messages")
        assert await waits.wait(id, 5)
        assert clock.monotonic() - began >= 5


@autojump
async def test_a_cancelled_wait_leaves_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, clock, id):
        waits = OutcomeWaiter(store, clock, never)
        one, two = (asyncio.create_task(waits.wait(id, 5)) for _ in range(2))
        await begun(two)
        one.cancel()
        assert await two
        with pytest.raises(asyncio.CancelledError):
            await one
