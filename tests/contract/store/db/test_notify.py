"""Hints between processes: heard while the line stands, and again after it was cut; nothing hangs on them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from app.store import Store
from tests.contract.store.build import MAILBOX, WORKER, accept, owned
from tests.harness import WAIT_TIMEOUT

LISTENING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"


@dataclass(slots=True)
class Ear:
    """What one process hears."""

    due: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def hears(self, event: asyncio.Event) -> None:
        """In time."""
        await asyncio.wait_for(event.wait(), WAIT_TIMEOUT)
        event.clear()


@asynccontextmanager
async def listener(url: str) -> AsyncIterator[tuple[Store, Ear]]:
    """One more process; a line that stands begins with looking."""
    ear = Ear()
    store = await Store.open(url, on_due=lambda _: ear.due.set(), on_mailbox_free=ear.free.set)
    await ear.hears(ear.due)
    await ear.hears(ear.free)
    yield store, ear
    await store.close()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """A process that only writes."""
    store = await Store.open(postgres_url)
    yield store
    await store.close()


async def test_what_one_accepts_the_others_hear_of(store: Store, postgres_url: str) -> None:
    """And what becomes free."""
    async with listener(postgres_url) as (_, ear):
        await accept(store)
        await ear.hears(ear.due)
        await store.replicas.release(MAILBOX, await owned(store))
        await ear.hears(ear.free)


async def test_nobody_is_told_by_himself(postgres_url: str) -> None:
    """It knows already, and would look for nothing."""
    async with listener(postgres_url) as (store, ear), listener(postgres_url) as (_, other):
        await store.replicas.leave(WORKER)
        await other.hears(other.free)
        assert not ear.free.is_set()


async def test_a_line_that_was_cut_is_made_again(store: Store, postgres_url: str) -> None:
    """It begins with looking, because what was said meanwhile is lost; then hints are heard as before."""
    async with listener(postgres_url) as (_, ear):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for (pid,) in connection.execute(LISTENING).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        await ear.hears(ear.due)
        await ear.hears(ear.free)
        await accept(store)
        await ear.hears(ear.due)


async def test_who_only_writes_listens_to_nothing(store: Store, postgres_url: str) -> None:
    """A command tells, and takes no connection for it."""
    await accept(store)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(LISTENING).fetchall() == []
