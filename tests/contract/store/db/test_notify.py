"""Work hints between processes: received while connected and again after a reconnect; losing them is safe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from app.store import Store
from tests.contract.store.build import MAILBOX, WORKER, accept, owned
from tests.waiting import WAIT_TIMEOUT

LISTENING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"


@dataclass(slots=True)
class Subscriber:
    """Hints that one process receives."""

    due: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def hears(self, event: asyncio.Event) -> None:
        """Wait for a hint."""
        await asyncio.wait_for(event.wait(), WAIT_TIMEOUT)
        event.clear()


@asynccontextmanager
async def listener(url: str) -> AsyncIterator[tuple[Store, Subscriber]]:
    """Start one more process; an open connection begins with a poll."""
    ear = Subscriber()
    store = await Store.open(url)
    store.listen(on_due=lambda _: ear.due.set(), on_mailbox_free=ear.free.set)
    await ear.hears(ear.due)
    await ear.hears(ear.free)
    yield store, ear
    await store.close()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """Process that only writes."""
    store = await Store.open(postgres_url)
    yield store
    await store.close()


async def test_accepted_and_released_work_is_notified_to_others(store: Store, postgres_url: str) -> None:
    async with listener(postgres_url) as (_, ear):
        await accept(store)
        await ear.hears(ear.due)
        await store.replicas.release(MAILBOX, await owned(store))
        await ear.hears(ear.free)


async def test_a_process_does_not_receive_its_own_hints(postgres_url: str) -> None:
    """It would poll without need."""
    async with listener(postgres_url) as (store, ear), listener(postgres_url) as (_, other):
        await store.replicas.leave(WORKER)
        await other.hears(other.free)
        assert not ear.free.is_set()


async def test_a_cut_connection_is_reopened(store: Store, postgres_url: str) -> None:
    """It begins with a poll, because hints were lost meanwhile."""
    async with listener(postgres_url) as (_, ear):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for (pid,) in connection.execute(LISTENING).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        await ear.hears(ear.due)
        await ear.hears(ear.free)
        await accept(store)
        await ear.hears(ear.due)


async def test_a_process_that_only_writes_opens_no_connection_to_listen(store: Store, postgres_url: str) -> None:
    await accept(store)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(LISTENING).fetchall() == []
